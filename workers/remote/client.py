"""One Ollama server over HTTP: ask, stream, list. Raises :class:`HostError` for whatever fails."""

import asyncio
import base64
import contextlib
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx2

from shared.messages import JsonObject
from workers.remote.config import HostRow

QUICK_S = 5.0
"""For calls that run no model."""
OnLine = Callable[[JsonObject], Awaitable[None]]


class HostError(Exception):
    """The server answered with an error."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.message, self.status = message, status


class HostDown(HostError):
    """The server cannot be reached, or broke the connection."""


class HostStalled(HostError):
    """The server was silent for too long."""


class Client:
    """HTTP to one server; used in one event loop."""

    def __init__(self, host: HostRow) -> None:
        headers = {"Authorization": f"Bearer {host.key}"} if host.key else {}
        # Servers are near: a proxy of the environment is for the world outside.
        self._http = httpx2.AsyncClient(
            base_url=host.url,
            headers=headers,
            timeout=httpx2.Timeout(None, connect=QUICK_S),
            limits=httpx2.Limits(max_connections=None),
            trust_env=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def get(self, path: str) -> JsonObject:
        """Return what the server says of itself."""
        return await self._quick("GET", path)

    async def post(self, path: str, body: JsonObject) -> JsonObject:
        """Return the answer to a call that runs no model."""
        return await self._quick("POST", path, body)

    async def ask(self, path: str, body: JsonObject, on_line: OnLine | None = None) -> JsonObject:
        """Have the server generate, and return the reply as if it had not been streamed.

        Always streams, so that silence can be told from work, and so that the server stops
        generating when the calling task is cancelled.

        Args:
            path: ``/api/generate`` or ``/api/chat``.
            body: the request, without ``stream``.
            on_line: gets each part as it comes.

        Raises:
            HostDown, HostError: as their names say.
        """
        parts: list[JsonObject] = []
        with _faults_told():
            async with contextlib.AsyncExitStack() as stack:
                request = self._http.stream("POST", path, json={**body, "stream": True})
                reply = await stack.enter_async_context(request)
                await _check(reply)
                async for line in reply.aiter_lines():
                    if not line.strip():
                        continue
                    part = _read(line)
                    parts.append(part)
                    if on_line:
                        await on_line(part)
                    if part.get("done"):
                        return _joined(parts)
        raise HostDown("The answer broke off.")

    async def _quick(self, method: str, path: str, body: JsonObject | None = None) -> JsonObject:
        with _faults_told():
            async with asyncio.timeout(QUICK_S):
                reply = await self._http.request(method, path, json=body)
                await _check(reply)
                return _read(reply.text)


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


@contextlib.contextmanager
def _faults_told() -> Any:  # noqa: ANN401 - a context manager's own type
    try:
        yield
    except TimeoutError as err:
        raise HostStalled("No sign of life for too long.") from err
    except httpx2.HTTPError as err:
        raise HostDown(f"{type(err).__name__}: {err}") from err


async def _check(reply: httpx2.Response) -> None:
    if reply.status_code == httpx2.codes.OK:
        return
    text = (await reply.aread()).decode(errors="replace")
    try:
        message = str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        message = text.strip()[:200] or f"HTTP status {reply.status_code}"
    raise HostError(message, reply.status_code)


def _read(text: str) -> JsonObject:
    try:
        value = json.loads(text)
    except ValueError as err:
        raise HostError("The server sent no JSON.") from err
    if not isinstance(value, dict):
        raise HostError("The server sent JSON that is no object.")
    if "error" in value:
        raise HostError(str(value["error"]))
    return value


def _joined(parts: list[JsonObject]) -> JsonObject:
    """Return the last part with the texts of all."""
    whole = dict(parts[-1])
    for name in ("response", "thinking"):
        if any(name in part for part in parts):
            whole[name] = "".join(part.get(name) or "" for part in parts)
    messages = [part["message"] for part in parts if isinstance(part.get("message"), dict)]
    if messages:
        message: JsonObject = {"role": "assistant"}
        for part in messages:
            for name, value in part.items():
                if isinstance(value, (str, list)) and name in message and name != "role":
                    message[name] = message[name] + value
                else:
                    message[name] = value
        whole["message"] = message
    return whole
