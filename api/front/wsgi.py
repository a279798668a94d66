"""Runs the WSGI application in threads, one step at a time.

A thread is held while the application works, and never while a client is slow to read: the next
part of a reply is made when the client has read what came before. ``a2wsgi`` holds a thread until
the client has read all of it.
"""

import asyncio
import contextvars
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from api.front.environ import Environ

WsgiApp = Callable[[Environ, Any], Iterable[bytes]]
Headers = list[tuple[bytes, bytes]]
T = TypeVar("T")

PART_BYTES = 64 * 1024
"""How much of a reply of known length is made in one step."""


class Threads:
    """Threads in which the application runs."""

    def __init__(self, count: int, name: str) -> None:
        """Prepare; each starts when it is first needed."""
        self._executor = ThreadPoolExecutor(count, name)

    async def run(self, function: Callable[[], T]) -> T:
        """Have the next free thread call the function."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)


class OneThread(Threads):
    """A thread that gets no work before the loop has taken what it did last.

    It would else go through the requests of a crowd while the loop waits for the interpreter's
    lock, and then have the loop send all their replies at once.
    """

    def __init__(self, name: str) -> None:
        super().__init__(1, name)
        self._lock = asyncio.Lock()

    async def run(self, function: Callable[[], T]) -> T:
        """Have the thread call the function after those of earlier calls."""
        async with self._lock:
            return await super().run(function)


class WsgiCall:
    """One call of the application: status and headers, and its body part by part."""

    def __init__(self, app: WsgiApp, environ: Environ, threads: Threads | None) -> None:
        """Prepare.

        Args:
            app: the application.
            environ: the request.
            threads: where to run it; ``None``: in this thread, for what never waits.
        """
        self._app, self.environ, self.threads = app, environ, threads
        self._context = contextvars.copy_context()
        self._iterable: Iterable[bytes] | None = None
        self._parts: Iterator[bytes] = iter(())
        self.status, self.headers = 0, Headers()
        self.is_done = False
        """Whether there are no more parts; then nothing is held any longer."""

    async def step(self) -> bytes:
        """Return the next part; status and headers are there with the first one."""
        return await self._run(self._next_part)

    async def aclose(self) -> None:
        """Have the application release what it holds; harmless when done twice."""
        if not self.is_done:
            await self._run(self._close)

    @property
    def has_length(self) -> bool:
        """Whether the reply says how long it is."""
        return any(name == b"content-length" for name, _ in self.headers)

    async def _run(self, function: Callable[[], T]) -> T:
        if self.threads is None:
            return self._context.run(function)
        return await self.threads.run(partial(self._context.run, function))

    def _next_part(self) -> bytes:
        if self._iterable is None:
            self._iterable = self._app(self.environ, self._start_response)
            self._parts = iter(self._iterable)
        part, size = [], 0
        while size < PART_BYTES:
            piece = next(self._parts, None)
            if piece is None:
                self._close()
                break
            part.append(piece)
            size += len(piece)
            if not self.has_length:  # a stream, whose parts are sent as they come
                break
        return b"".join(part)

    def _start_response(self, status: str, headers: list[tuple[str, str]], _: Any = None) -> None:  # noqa: ANN401 - as WSGI has it
        self.status = int(status.partition(" ")[0])
        self.headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in headers
            if name.lower() != "date"  # the server adds its own to each reply
        ]

    def _close(self) -> None:
        self.is_done = True
        if close := getattr(self._iterable, "close", None):
            close()
