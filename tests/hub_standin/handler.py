"""How requests to the hub are answered."""

import contextlib
import json
import os
import socket
import struct
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tests.damage import LOGIN_PAGE
from tests.hub_standin.contents import LFS_SUFFIXES, SHA, blob_id, describe, sha256

if TYPE_CHECKING:
    from tests.hub_standin.server import HubStandIn

SIGNATURE = "Expires=4102444800&Signature="


class Handler(BaseHTTPRequestHandler):
    """Answers for a stand-in, also when it is used as a proxy."""

    standin: "HubStandIn"
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
            case ["api", "models", owner, name, "revision", revision]:
                if self._may_read(f"{owner}/{name}", revision, contents=False):
                    self._describe(f"{owner}/{name}")
            case [owner, name, "resolve", revision, *file]:
                if self._may_read(f"{owner}/{name}", revision, contents=True):
                    self._resolve(f"{owner}/{name}", "/".join(file))
            case ["api", "resolve-cache", "models", owner, name, _, *file]:
                self._file(self.standin.repos[f"{owner}/{name}"].joinpath(*file))
            case ["lfs", owner, name, *file]:
                self._signed(self.standin.repos[f"{owner}/{name}"].joinpath(*file))
            case _:
                self._send(404, b"", {})

    def _may_read(self, repo: str, revision: str, *, contents: bool) -> bool:
        """Return whether a request is to be answered; if not, refuse it."""
        hub = self.standin
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        refusal = hub.access.refusal(repo, token, is_known=repo in hub.repos, contents=contents)
        status, headers = 0, {}
        if hub.broken:
            status = 503
        elif refusal:
            status, headers = refusal.status, {"X-Error-Message": refusal.message}
            headers |= {"X-Error-Code": refusal.code} if refusal.code else {}
        elif revision not in {SHA, *hub.tags}:
            status, headers = 404, {"X-Error-Code": "RevisionNotFound"}
        if status:
            self._send(status, b"{}", {"Content-Type": "application/json", **headers})
        return not status

    def _describe(self, repo: str) -> None:
        """Answer with a repository and its files."""
        body = describe(repo, self.standin.repos[repo], self.standin.sizes)
        self._send(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _resolve(self, repo: str, name: str) -> None:
        """Redirect to a file's contents."""
        file = self.standin.repos[repo] / name
        if not file.is_file():
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        data = file.read_bytes()
        headers = {"X-Repo-Commit": SHA, "X-Linked-Size": str(len(data))}
        if file.suffix in LFS_SUFFIXES:
            host = self.headers["Host"].partition(":")[0]
            path = f"/lfs/{repo}/{name}"
            headers |= {
                "X-Linked-ETag": f'"{sha256(data)}"',
                "Location": f"http://{host}:{self.standin.lfs_port}{path}?{_signed(path)}",
            }
            self._send(302, b"", headers)
        else:
            headers["X-Linked-ETag"] = f'"{blob_id(data)}"'
            headers["Location"] = f"/api/resolve-cache/models/{repo}/{SHA}/{name}"
            self._send(307, b"", headers)

    def _signed(self, file: Path) -> None:
        """Answer with a file in git-lfs; a token must not come here, and ends in an error."""
        url = urlsplit(self.path)
        if self.headers.get("Authorization") or url.query != _signed(unquote(url.path)):
            self._send(400, b"<Error><Code>InvalidArgument</Code></Error>", {})
        else:
            self._file(file)

    def _file(self, file: Path) -> None:
        data = self._damaged(file.name, file.read_bytes())
        first = self._first_byte()
        if first >= len(data) > 0:
            self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            return
        if self.command == "GET":
            self.standin.starts.append((file.name, first))
        headers = {"Accept-Ranges": "bytes"}
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        cut, hold = self.standin.cuts.get(file.name), self.standin.holds.get(file.name)
        if hold is not None:  # also when a client that timed out requests the rest
            hold = max(0, hold - first)
        self._send(206 if first else 200, data[first:], headers, cut, hold)

    def _damaged(self, name: str, data: bytes) -> bytes:
        """Return what is sent of a file."""
        if replies := self.standin.instead.get(name):
            return replies.pop(0)
        return data[: self.standin.cuts_unnoticed.get(name)]

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


def _signed(path: str) -> str:
    return SIGNATURE + sha256(path.encode())
