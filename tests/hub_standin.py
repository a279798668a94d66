"""A stand-in for the Hugging Face hub on loopback: serves folders with the hub's API.

``huggingface_hub`` downloads from it when ``HF_ENDPOINT`` is its ``url``.
"""

import contextlib
import hashlib
import json
import os
import socket
import struct
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

from tests.damage import LFS_POINTER, LOGIN_PAGE

SHA = hashlib.sha1(b"stand-in", usedforsecurity=False).hexdigest()
"""The only commit of every repository."""
XET = "xet-read-token"
LFS_SUFFIXES = (".safetensors", ".bin")
"""Of the files that a repository has in git-lfs."""


class HubStandIn:
    """Serves ``repos`` (``owner/name`` → folder) in its context, and records requests."""

    def __init__(
        self, repos: Mapping[str, Path], address: tuple[str, int] = ("127.0.0.1", 0)
    ) -> None:
        """Bind a port (0: any free one); requests are answered within the context only."""
        self.repos = dict(repos)
        self.requests: list[tuple[str, str]] = []
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
        hub = self

        class Handler(_Handler):
            """Serves the folders of this hub."""

            standin = hub

        self._server = ThreadingHTTPServer(address, Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        """The value for ``HF_ENDPOINT``."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def fetched(self) -> list[str]:
        """Return the names of the files whose contents were requested, in order."""
        return [
            path.rpartition("/")[2]
            for method, path in self.requests
            if method == "GET" and "/resolve/" in path
        ]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    standin: HubStandIn
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._route()

    def do_GET(self) -> None:
        self._route()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Log nothing."""

    def _route(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.standin.requests.append((self.command, path))
        if self.standin.portal:
            self._send(200, LOGIN_PAGE, {"Content-Type": "text/html"})
            return
        match path.strip("/").split("/"):
            case ["api", "models", owner, name, what, _] if f"{owner}/{name}" in self.standin.repos:
                self._describe(f"{owner}/{name}", what)
            case [owner, name, "resolve", _, *file] if f"{owner}/{name}" in self.standin.repos:
                self._file(self.standin.repos[f"{owner}/{name}"].joinpath(*file))
            case _:
                self._send(
                    404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"}
                )

    def _describe(self, repo: str, what: str) -> None:
        """Answer ``revision`` (a commit) or ``tree`` (its files)."""
        folder = self.standin.repos[repo]
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        siblings, tree = [], []
        for path in files:
            name, data = str(path.relative_to(folder)), path.read_bytes()
            sibling = {"rfilename": name, "size": len(data), "blobId": blob_id(data)}
            entry = {"type": "file", "path": name, "size": len(data), "oid": blob_id(data)}
            if path.suffix in LFS_SUFFIXES:
                digest, sizes = sha256(data), {"size": len(data), "pointerSize": len(LFS_POINTER)}
                sibling["lfs"] = {"sha256": digest, **sizes}
                entry["lfs"] = {"oid": digest, **sizes}
            siblings.append(sibling)
            tree.append(entry)
        body = {"id": repo, "sha": SHA, "private": False, "siblings": siblings}
        answer = json.dumps(tree if what == "tree" else body).encode()
        self._send(200, answer, {"Content-Type": "application/json"})

    def _file(self, file: Path) -> None:
        if not file.is_file():
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        data, is_lfs = file.read_bytes(), file.suffix in LFS_SUFFIXES
        headers = {
            "ETag": f'"{sha256(data) if is_lfs else blob_id(data)}"',
            "X-Repo-Commit": SHA,
            "Accept-Ranges": "bytes",
        }
        if is_lfs:  # whoever follows these finds nothing here
            headers |= {
                "X-Xet-Hash": sha256(data),
                "X-Xet-Refresh-Route": f"{self.standin.url}/{XET}",
            }
        data = self._damaged(file.name, data)
        first = self._first_byte()
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        is_get = self.command == "GET"
        cut = self.standin.cuts.get(file.name) if is_get else None
        hold = self.standin.holds.get(file.name) if is_get else None
        if hold is not None:  # also when a client that timed out requests the rest
            hold = max(0, hold - first)
        self._send(206 if first else 200, data[first:], headers, cut, hold)

    def _damaged(self, name: str, data: bytes) -> bytes:
        """Return what is sent of a file; the HEAD before a GET announces the same size."""
        if replies := self.standin.instead.get(name):
            # No GET follows where the HEAD says that there is nothing to get.
            return replies.pop(0) if self.command == "GET" or not replies[0] else replies[0]
        if self.command == "GET":
            return data[: self.standin.cuts_unnoticed.get(name)]
        return data

    def _first_byte(self) -> int:
        wanted = self.headers.get("Range", "bytes=0-").removeprefix("bytes=")
        return int(wanted.partition("-")[0] or 0)

    def _send(
        self,
        status: int,
        body: bytes,
        headers: Mapping[str, str],
        cut: int | None = None,
        hold: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            if hold is not None:
                self.wfile.write(body[:hold])
                self.standin.go_on.wait()
            with contextlib.suppress(ConnectionError):  # the client may have been killed
                self.wfile.write(body[hold or 0 : cut])
        if cut is not None:
            self._reset()

    def _reset(self) -> None:
        """Reset the connection, as a restarting router does."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
        self.close_connection = True


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def blob_id(data: bytes) -> str:
    """Return the id that git gives to a file's contents."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
