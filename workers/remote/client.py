"""Ollama's protocol: HTTP to one server, and the meaning of fields in requests and replies."""

import asyncio
import base64
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import httpx2
from pydantic_core import to_json

from shared.messages import JsonObject
from shared.text import well_formed
from shared.vocabulary import OllamaCall
from workers.remote.config import ServerConfig, full_name
from workers.remote.errors import MalformedReply, ServerDown, ServerError, ServerStalled
from workers.remote.replies import join, number, parse, split_lines

QUICK_TIMEOUT_S = 5.0
"""For connecting, and for calls that run no model."""
MIN_TOKENS = 3
"""Answers with fewer tokens say nothing about speed."""
RUNNER_OPTIONS = (
    "num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread", "low_vram",
)  # fmt: skip
"""Options that Ollama loads a model with: for other values it reloads the model."""

OnPart = Callable[[JsonObject], Awaitable[None]]
"""Receives a part of a streamed reply."""


class OllamaClient:
    """HTTP to one server; used in one event loop. Each request may raise a :class:`ServerError`."""

    def __init__(self, config: ServerConfig) -> None:
        # As bytes: of text, the client would make ASCII, or fail.
        headers = {b"Authorization": f"Bearer {config.key}".encode()} if config.key else {}
        # No proxy from the environment: the servers are in the local network.
        self._http = httpx2.AsyncClient(
            base_url=config.url,
            headers=headers,
            timeout=httpx2.Timeout(None, connect=QUICK_TIMEOUT_S),
            limits=httpx2.Limits(max_connections=None),
            trust_env=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def installed_models(self) -> list[JsonObject]:
        """Return the entries of ``/api/tags``."""
        return _entries(await self._request("GET", "/api/tags"))

    async def loaded_models(self) -> list[JsonObject]:
        """Return the entries of ``/api/ps``."""
        return _entries(await self._request("GET", "/api/ps"))

    async def version(self) -> str:
        """Return the server's version; empty: it has none."""
        return well_formed(str((await self._request("GET", "/api/version")).get("version", "")))

    async def show(self, body: JsonObject) -> JsonObject:
        """Return the description of a model."""
        return await self._request("POST", "/api/show", body)

    async def unload(self, model: str) -> None:
        """Ask the server to unload a model, which may take longer than this call."""
        await self.generate(OllamaCall.GENERATE, {"model": model, "keep_alive": 0})

    async def generate(
        self, call: OllamaCall, body: JsonObject, on_part: OnPart | None = None
    ) -> JsonObject:
        """Have the server generate, and return the reply as if it had not been streamed.

        It is always streamed, so that a silent server can be distinguished from a busy one, and so
        that the server stops generating when the calling task is cancelled.

        Args:
            call: ``GENERATE`` or ``CHAT``.
            body: the request, without ``stream``.
            on_part: receives each part of the reply when it arrives.

        Raises:
            ServerDown: the connection failed or was closed before the end of the reply.
            MalformedReply: a part of the reply is not a JSON object.
            ServerError: the server answered with an error.
        """
        parts: list[JsonObject] = []
        with _as_server_errors():
            async with contextlib.AsyncExitStack() as stack:
                request = self._http.stream(
                    "POST", f"/api/{call}", **_json_body({**body, "stream": True})
                )
                reply = await stack.enter_async_context(request)
                await _check_status(reply)
                async for line in split_lines(reply.aiter_bytes()):
                    part = parse(line)
                    parts.append(part)
                    if on_part:
                        await on_part(part)
                    if part.get("done"):
                        return join(parts)
        raise ServerDown("The connection was closed before the answer was complete.")

    async def _request(self, method: str, path: str, body: JsonObject | None = None) -> JsonObject:
        with _as_server_errors():
            async with asyncio.timeout(QUICK_TIMEOUT_S):
                content = {} if body is None else _json_body(body)
                reply = await self._http.request(method, path, **content)
                await _check_status(reply)
                return parse(reply.text)


def entry_name(entry: JsonObject) -> str:
    """Return the full name of the model in an entry of ``/api/tags`` or ``/api/ps``."""
    return full_name(str(entry.get("name")))


def gpu_share(entry: JsonObject) -> float | None:
    """Return the fraction of a loaded model's memory that is on the GPU; ``None``: unknown."""
    size = number(entry.get("size"))
    return number(entry.get("size_vram")) / size if size else None


def tokens_per_s(reply: Mapping[str, Any]) -> float | None:
    """Return the speed of generation alone; ``None``: it is not in the reply, or that is short."""
    tokens, nanoseconds = number(reply.get("eval_count")), number(reply.get("eval_duration"))
    return tokens / nanoseconds * 1e9 if tokens >= MIN_TOKENS and nanoseconds > 0 else None


def load_seconds(reply: Mapping[str, Any]) -> float:
    """Return how long the model took to load; little where it was loaded already."""
    return number(reply.get("load_duration")) / 1e9


def load_options(body: JsonObject) -> JsonObject | None:
    """Return ``options`` and ``keep_alive`` that a request has a model loaded with.

    ``None``: the request has no prompt, only loads or unloads the model, and so is no example of
    how it is used.
    """
    if not (body.get("prompt") or body.get("messages")):
        return None
    options = body.get("options")
    options = options if isinstance(options, dict) else {}  # the server says that it is none
    loaded: JsonObject = {
        "options": {name: options[name] for name in RUNNER_OPTIONS if name in options}
    }
    if body.get("keep_alive") is not None:
        loaded["keep_alive"] = body["keep_alive"]
    return loaded


def with_images(body: JsonObject, images: Sequence[bytes]) -> JsonObject:
    """Put a job's images where the client had them: in ``images``, or in chat messages."""
    encoded = [base64.b64encode(image).decode() for image in images]
    if "messages" not in body:
        return {**body, "images": encoded} if encoded else body
    messages = [
        {**message, "images": [encoded[n] for n in message["images"]]}
        if isinstance(message, dict) and message.get("images")
        else message
        for message in body["messages"]
    ]
    return {**body, "messages": messages}


def _entries(reply: JsonObject) -> list[JsonObject]:
    """Return the entries of a list of models, without those that name none or cannot be published.

    Raises:
        MalformedReply: it is no list.
    """
    entries = reply.get("models")
    if entries is None:
        return []
    if not isinstance(entries, list):
        raise MalformedReply("The server's list of models is not a list.")
    return [entry for entry in entries if _is_entry(entry)]


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"]:
        return False
    try:
        to_json(entry)
    except ValueError:  # half a surrogate pair, or nested too deeply
        return False
    return True


def _json_body(body: JsonObject) -> dict[str, Any]:
    """Return a JSON body as arguments for httpx.

    In ASCII, because httpx's own encoder raises an error for half a surrogate pair.
    """
    return {
        "content": json.dumps(body).encode(),
        "headers": {"Content-Type": "application/json"},
    }


@contextlib.contextmanager
def _as_server_errors() -> Iterator[None]:
    try:
        yield
    except TimeoutError as err:
        raise ServerStalled("The server did not answer in time.") from err
    except httpx2.HTTPError as err:
        raise ServerDown(f"{type(err).__name__}: {err}") from err


async def _check_status(reply: httpx2.Response) -> None:
    if reply.status_code == httpx2.codes.OK:
        return
    text = (await reply.aread()).decode(errors="replace")
    try:
        message = str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        message = text.strip()[:200] or f"HTTP status {reply.status_code}"
    raise ServerError(message, reply.status_code)
