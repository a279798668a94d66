"""Replies of a server: lines of JSON, the parts of a streamed reply, and numbers in them."""

import json
import math
from collections.abc import AsyncIterator, Sequence
from itertools import chain

from shared.messages import JsonObject
from workers.remote.errors import MalformedReply, ServerError

_TEXTS = ("response", "thinking")
_LISTS = ("logprobs",)
"""What each part has for its own tokens."""


async def split_lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    r"""Yield the lines of a streamed body that are not empty.

    Lines end with ``\n`` alone. httpx also ends them at U+0085 and U+2028, which may stand in the
    strings of JSON.
    """
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield line.decode(errors="replace")
    if rest.strip():
        yield rest.decode(errors="replace")


def parse(text: str) -> JsonObject:
    """Return the JSON object in a reply, or in a line of it.

    Raises:
        MalformedReply: there is none, or a text in it is none.
        ServerError: it reports an error.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise MalformedReply("The server's answer is not JSON.") from err
    if not isinstance(value, dict):
        raise MalformedReply("The server's answer is not a JSON object.")
    if value.get("error"):
        status = value.get("status")
        raise ServerError(str(value["error"]), status if isinstance(status, int) else None)
    message = value.get("message") or {}
    if not isinstance(message, dict):
        raise MalformedReply("The message in the server's answer is not a JSON object.")
    texts = [*(value.get(name) for name in _TEXTS), message.get("content"), message.get("thinking")]
    if not all(text is None or isinstance(text, str) for text in texts):
        raise MalformedReply("A text in the server's answer is not a string.")
    return value


def join(parts: Sequence[JsonObject]) -> JsonObject:
    """Return the last part with the texts and lists of all, as if it had not been streamed."""
    whole = dict(parts[-1])
    for name in _LISTS:
        lists = [part[name] for part in parts if isinstance(part.get(name), list)]
        if lists:
            whole[name] = list(chain(*lists))
    for name in _TEXTS:
        if any(name in part for part in parts):
            whole[name] = "".join(part.get(name) or "" for part in parts)
    messages = [part["message"] for part in parts if isinstance(part.get("message"), dict)]
    if messages:
        whole["message"] = _joined_messages(messages)
    return whole


def _joined_messages(messages: Sequence[JsonObject]) -> JsonObject:
    message: JsonObject = {"role": "assistant"}
    for part in messages:
        for name, value in part.items():
            before = message.get(name)
            if isinstance(value, str | list) and type(before) is type(value) and name != "role":
                message[name] = before + value  # type: ignore[operator]
            else:
                message[name] = value
    return message


def number(value: object) -> float:
    """Return a number in a reply; 0: it is none."""
    try:
        found = float(value) if isinstance(value, int | float) else 0.0
    except OverflowError:
        return 0.0
    return found if math.isfinite(found) else 0.0
