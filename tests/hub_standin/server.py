"""The two servers: of the hub, and of the files that it has in git-lfs."""

import threading
from collections.abc import Mapping
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.hub_standin.access import Access
from tests.hub_standin.handler import Handler


class HubStandIn:
    """Serves ``repos`` (``owner/name`` → folder) in its context, and records requests."""

    def __init__(
        self, repos: Mapping[str, Path], address: tuple[str, int] = ("127.0.0.1", 0)
    ) -> None:
        """Bind a port (0: any free one); requests are answered within the context only."""
        hub = self

        class Bound(Handler):
            """Serves the folders of this hub."""

            standin = hub

        self._servers = [ThreadingHTTPServer(where, Bound) for where in (address, (address[0], 0))]
        self._threads = [
            threading.Thread(target=server.serve_forever, args=(0.02,)) for server in self._servers
        ]
        self.reset()
        self.repos.update(repos)

    def reset(self) -> None:
        """Have no repositories, no requests, and none of what tests can set."""
        self.repos: dict[str, Path] = {}
        self.tags = {"main"}
        """Names of the only commit."""
        self.access = Access()
        self.requests: list[tuple[str, str]] = []
        """Method and path, as they came, to either server."""
        self.starts: list[tuple[str, int]] = []
        """File and first byte of each request for contents that was answered."""
        self.sizes: dict[str, int] = {}
        """File → size that is announced for it."""
        self.cuts: dict[str, int] = {}
        """File → bytes after which a GET of it ends with a reset of the connection."""
        self.holds: dict[str, int] = {}
        """File → bytes after which a GET of it pauses until ``go_on`` is set."""
        self.go_on = threading.Event()
        self.instead: dict[str, list[bytes]] = {}
        """File → what is sent in its place, by the first GET, the second, and so on."""
        self.cuts_unnoticed: dict[str, int] = {}
        """File → bytes of it that every GET sends, as if there were no more."""
        self.portal = False
        """Whether every request gets a login page, as behind the proxy of a hotel."""
        self.broken = False
        """Whether the hub has trouble of its own."""

    @property
    def url(self) -> str:
        """The value for ``HF_ENDPOINT``."""
        return f"http://127.0.0.1:{self._servers[0].server_port}"

    @property
    def lfs_port(self) -> int:
        """The port that files in git-lfs are fetched from."""
        return self._servers[1].server_port

    def fetched(self) -> list[str]:
        """Return the names of the files whose contents were requested, in order."""
        return [name for name, _ in self.starts]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.go_on.set()
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()
