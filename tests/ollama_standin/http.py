"""The API on the wire: paths, statuses, streams of JSON lines, and connections that end early."""

import contextlib
import hashlib
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tests.ollama_standin import replies
from tests.ollama_standin.engine import Chunk, Cut, Recorded
from tests.ollama_standin.knobs import Knobs
from tests.ollama_standin.memory import ClientGone, wait
from tests.ollama_standin.request_parsing import Ask, Refused, decoded, parsed

if TYPE_CHECKING:
    from tests.ollama_standin.server import OllamaStandin, _Server

VERSION = "0.30.0"
JSON = "application/json; charset=utf-8"
NDJSON = "application/x-ndjson"
GETS = ("/", "/api/tags", "/api/ps", "/api/version")
POSTS = ("/api/show", "/api/generate", "/api/chat")


class Handler(BaseHTTPRequestHandler):
    """Answers one connection after the other; each has its thread."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "_Server"

    @property
    def standin(self) -> "OllamaStandin":
        return self.server.standin

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Be quiet."""

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_DELETE = do_GET  # noqa: N815 - names that the base looks for

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        if path.startswith("/standin"):
            self._control(path, body)
            return
        request = _recorded(self.command, path, body, dict(self.headers))
        self._request = request
        standin = self.standin
        with standin.changed:
            standin.requests.append(request)
            standin.in_flight += 1
            standin.most_in_flight = max(standin.most_in_flight, standin.in_flight)
        try:
            self._answer(path, body)
        except Refused as refused:
            self._send(refused.status, {"error": refused.message})
        except (ClientGone, ConnectionError):
            self._note_abort(request)
        except Cut:
            self._reset()
        finally:
            with standin.changed:
                standin.in_flight -= 1
                request.ended = time.time()

    def _note_abort(self, request: Recorded) -> None:
        """Count a client that left; when this server broke the connection it did not."""
        self.close_connection = True
        with self.standin.changed:
            if not self.standin.is_down:
                request.aborted = True
                self.standin.aborted += 1

    def _answer(self, path: str, body: bytes) -> None:
        knobs = self.standin.knobs
        if knobs.hang_all:
            wait(float("inf"), self._gone)
        if knobs.fail_all:
            raise Refused(knobs.fail_status, "internal server error")
        if knobs.key and self.headers.get("Authorization") != f"Bearer {knobs.key}":
            raise Refused(401, "unauthorized")
        if path not in GETS + POSTS:
            self._send_text(404, "404 page not found")
        elif (path in POSTS) != (self.command == "POST") or self.command == "DELETE":
            self._send_text(405, "405 method not allowed")
        elif path == "/":
            self._send_text(200, "Ollama is running")
        elif path in ("/api/generate", "/api/chat"):
            self._generate(body, is_chat=path.endswith("chat"))
        else:
            self._send(200, self._shown(path, body))

    def _shown(self, path: str, body: bytes) -> dict[str, Any]:
        standin = self.standin
        if path == "/api/version":
            return {"version": VERSION}
        if path == "/api/tags":
            return {"models": [replies.tag(model) for model in standin.models.values()]}
        if path == "/api/ps":
            shown = standin.in_memory()
            return {"models": [replies.running(m, standin.vram_share(m)) for m in shown]}
        asked = parsed(body)
        name = asked.get("model") or asked.get("name")
        if not name:
            raise Refused(400, "model is required")
        return replies.details(standin.find(name))

    def _generate(self, body: bytes, *, is_chat: bool) -> None:
        ask = Ask.chat(body) if is_chat else Ask.generate(body)
        with contextlib.closing(self.standin.run(ask, self._gone)) as chunks:
            if ask.streams and not ask.is_empty:
                self._stream(replies.line(ask, chunk, is_chat=is_chat) for chunk in chunks)
            else:
                self._send(200, replies.line(ask, _joined(chunks), is_chat=is_chat))

    def _stream(self, lines: Iterator[dict[str, Any]]) -> None:
        """Send lines as they come. Once the first is out, an error is a line as well."""
        self._write_line(next(lines), first=True)
        try:
            for line in lines:
                self._write_line(line)
        except Refused as refused:
            self._write_line({"error": refused.message})
        self.wfile.write(b"0\r\n\r\n")

    def _write_line(self, line: dict[str, Any], *, first: bool = False) -> None:
        if first:
            self._status(200, NDJSON)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
        data = json.dumps(line, ensure_ascii=False).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _send(self, status: int, value: object) -> None:
        self._send_bytes(status, JSON, json.dumps(value, ensure_ascii=False).encode())

    def _send_text(self, status: int, text: str) -> None:
        self._send_bytes(status, "text/plain; charset=utf-8", text.encode())

    def _send_bytes(self, status: int, kind: str, data: bytes) -> None:
        self._status(status, kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _status(self, status: int, kind: str) -> None:
        self._request.status = status
        self.send_response(status)
        self.send_header("Content-Type", kind)

    def _gone(self) -> bool:
        """Say whether the client has closed: it sends nothing else before it has its answer."""
        try:
            return not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _reset(self) -> None:
        """Break the connection without an orderly end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
        self.close_connection = True

    def _control(self, path: str, body: bytes) -> None:
        """Show the state, turn knobs, or restart: how a stand-in in another process is used."""
        self._request = Recorded(self.command, path, None, [], time.time())
        standin = self.standin
        if path == "/standin/restart":
            down_s = json.loads(body).get("down_s", 0.0) if body else 0.0
            self._send(202, {})
            # This thread is one of those that the server waits for when it goes down.
            threading.Thread(target=standin.restart, args=(down_s,)).start()
            return
        if self.command == "POST":
            try:
                turned = Knobs(**{**standin.knobs.model_dump(), **json.loads(body)})
            except ValidationError as error:
                self._send(400, {"error": str(error)})
                return
            standin.knobs = turned
        self._send(200, standin.state())


def _joined(chunks: Iterator[Chunk]) -> Chunk:
    """Return the pieces as one, with the counts of the last."""
    whole = list(chunks)
    return Chunk(
        "".join(chunk.response for chunk in whole),
        "".join(chunk.thinking for chunk in whole),
        whole[-1].done_reason,
        whole[-1].metrics,
    )


def _recorded(method: str, path: str, body: bytes, headers: dict[str, str]) -> Recorded:
    """Return what came, with digests in place of images."""
    try:
        value = parsed(body) if body else None
    except Refused:
        value = None
    digests: list[str] = []
    for holder in [value, *((value or {}).get("messages") or [])]:
        if isinstance(holder, dict) and isinstance(holder.get("images"), list):
            digests += [_digest(image) for image in holder["images"]]
            holder["images"] = len(holder["images"])
    return Recorded(method, path, value, digests, time.time(), headers)


def _digest(image: object) -> str:
    try:
        return hashlib.sha256(decoded(str(image))).hexdigest()
    except Refused:
        return "not base64"
