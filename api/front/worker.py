"""gunicorn's worker: uvicorn's server, with the Flask application behind our front."""

import asyncio
import gc
import os
import resource
import signal
from typing import Any, cast

from uvicorn import Server
from uvicorn_worker import UvicornWorker

from api import WAITING_ROOM
from api.front.application import Front
from api.front.connection import IDLE_S, Connection
from shared.settings import get_settings

WATCH_S = 0.5
"""How often connections are checked, and gunicorn is told that this process lives."""
OTHER_FILES = 512
"""Open files beside the clients' connections: those to Redis, and images that are fetched."""


class FrontWorker(UvicornWorker):  # type: ignore[misc]  # it is not typed
    """Serves the application until gunicorn stops it, or is gone."""

    CONFIG_KWARGS = {  # noqa: RUF012 - as the base class has it
        "http": Connection,
        "loop": "asyncio",
        "ws": "none",
        "lifespan": "off",
        "interface": "asgi3",
        "server_header": False,
        "access_log": False,
        "forwarded_allow_ips": list(get_settings().trusted_proxies),
        "callback_notify": None,  # done in `_watch`
        "timeout_keep_alive": int(IDLE_S),  # and not gunicorn's 2 s: a request may meet the end
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as the base class
        super().__init__(*args, **kwargs)
        self._server = Server(self.config)

    def init_signals(self) -> None:
        """Have SIGTERM end a process that still starts, and not kill one that has stopped."""
        super().init_signals()
        # uvicorn raises the signal again when it has stopped, which would skip what runs at exit.
        signal.signal(signal.SIGTERM, self.handle_exit)

    def handle_exit(self, *_: object) -> None:
        """Stop, also if the server has begun to start, but does not handle signals yet."""
        self.alive = False
        self._server.should_exit = True

    def handle_quit(self, *_: object) -> None:
        """Stop without waiting for requests."""
        self.alive = False
        self._server.should_exit = self._server.force_exit = True
        for connection in self._connections():
            connection.transport.abort()

    def _install_sigquit_handler(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGQUIT, self.handle_quit)

    async def _serve(self) -> None:
        if not self.alive:
            return
        settings = get_settings()
        _allow_open_files(settings.max_connections + OTHER_FILES)
        front = Front(self.wsgi, settings, self.wsgi.extensions[WAITING_ROOM])
        self.config.app = front
        self._install_sigquit_handler()
        # What is loaded stays. To look through all of it for garbage took 70 to 140 ms each time.
        gc.collect()
        gc.freeze()
        watch = asyncio.create_task(self._watch(front))
        await self._server.serve(sockets=[listener.sock for listener in self.sockets])
        watch.cancel()

    def _connections(self) -> tuple[Connection, ...]:
        return cast("tuple[Connection, ...]", tuple(self._server.server_state.connections))

    async def _watch(self, front: Front) -> None:
        while True:
            self.notify()
            if self.ppid != os.getppid():  # without gunicorn nobody would end this process
                self._server.should_exit = True
            if self._server.should_exit:
                front.stop()
            for connection in self._connections():
                connection.check()
                # Each gives the interpreter's lock away, and may wait for it.
                await asyncio.sleep(0)
            await asyncio.sleep(WATCH_S)


def _allow_open_files(count: int) -> None:
    """Raise the soft limit of open files, as far as the hard one allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        most = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
