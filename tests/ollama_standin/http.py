"""The API over HTTP: routes, statuses, streams of JSON lines, and connections that end early."""

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
from tests.ollama_standin.engine import Chunk, ConnectionCut, Malformed, RecordedRequest
from tests.ollama_standin.knobs import Knobs
from tests.ollama_standin.memory import ClientDisconnected, wait
from tests.ollama_standin.request_parsing import GenerationRequest, Refused, decode, parse

if TYPE_CHECKING:
    from tests.ollama_standin.server import OllamaStandin
    from tests.standin_server import ClosableServer

VERSION = "0.30.0"
JSON = "application/json; charset=utf-8"
NDJSON = "application/x-ndjson"
GETS = ("/", "/api/tags", "/api/ps", "/api/version")
POSTS = ("/api/show", "/api/generate", "/api/chat")


class Handler(BaseHTTPRequestHandler):
    """Serves one connection in a thread of its own."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "ClosableServer"

    @property
    def standin(self) -> "OllamaStandin":
        standin: OllamaStandin = self.server.standin
        return standin

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        """Log nothing."""

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_DELETE = do_GET  # noqa: N815 - the base class looks for these names

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        if path.startswith("/standin"):
            self._control(path, body)
            return
        self._request = request = _record(self.command, path, body, dict(self.headers))
        standin = self.standin
        with standin.changed:
            standin.requests.append(request)
            standin.in_flight += 1
        try:
            self._answer(path, body)
        except Refused as refused:
            self._send(refused.status, {"error": refused.message})
        except (ClientDisconnected, ConnectionError):
            self._count_abort(request)
        except ConnectionCut:
            self._reset()
        finally:
            with standin.changed:
                standin.in_flight -= 1
                request.ended = time.time()

    def _count_abort(self, request: RecordedRequest) -> None:
        """Count a client that disconnected, unless this server closed the connection itself."""
        self.close_connection = True
        with self.standin.changed:
            if not self.standin.is_down:
                request.aborted = True
                self.standin.aborted += 1

    def _answer(self, path: str, body: bytes) -> None:
        knobs = self.standin.knobs
        if knobs.hang_all:
            wait(float("inf"), self._is_disconnected)
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
            self._send(200, self._description(path, body))

    def _description(self, path: str, body: bytes) -> dict[str, Any]:
        standin = self.standin
        if path == "/api/version":
            return {"version": VERSION}
        if path in ("/api/tags", "/api/ps") and standin.knobs.lists is not None:
            return {"models": standin.knobs.lists}
        if path == "/api/tags":
            return {"models": [replies.tag(model) for model in standin.models.values()]}
        if path == "/api/ps":
            loaded = standin.loaded_models()
            return {"models": [replies.running(m, standin.gpu_share(m)) for m in loaded]}
        fields = parse(body)
        name = fields.get("model") or fields.get("name")
        if not name:
            raise Refused(400, "model is required")
        return replies.details(standin.find(name))

    def _generate(self, body: bytes, *, is_chat: bool) -> None:
        make = GenerationRequest.chat if is_chat else GenerationRequest.generate
        request = make(body)
        with contextlib.closing(self.standin.run(request, self._is_disconnected)) as chunks:
            if request.streams and not request.is_empty:
                self._stream(replies.line(request, chunk, is_chat=is_chat) for chunk in chunks)
            else:
                self._send(200, replies.line(request, _join(chunks), is_chat=is_chat))

    def _stream(self, lines: Iterator[dict[str, Any]]) -> None:
        """Send each line at once. After the first, an error is a line, too."""
        self._write_line(next(lines), first=True)
        try:
            for line in lines:
                self._write_line(line)
        except Refused as refused:
            self._write_line({"error": refused.message})
        except Malformed:
            self._write_chunk(self.standin.knobs.malformed.encode() + b"\n")
        self.wfile.write(b"0\r\n\r\n")

    def _write_line(self, line: dict[str, Any], *, first: bool = False) -> None:
        if first:
            self._status(200, NDJSON)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
        self._write_chunk(_encoded(line) + b"\n")

    def _write_chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _send(self, status: int, value: object) -> None:
        self._send_bytes(status, JSON, _encoded(value))

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

    def _is_disconnected(self) -> bool:
        """Return whether the client has closed the connection; it sends nothing else meanwhile."""
        try:
            return not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _reset(self) -> None:
        """Reset the connection instead of closing it."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
        self.close_connection = True

    def _control(self, path: str, body: bytes) -> None:
        """Return the state, set knobs or restart, to control a stand-in in another process."""
        self._request = RecordedRequest(self.command, path, None, [], time.time())
        standin = self.standin
        if path == "/standin/restart":
            down_s = json.loads(body).get("down_s", 0.0) if body else 0.0
            self._send(202, {})
            # In another thread: the server waits for this one when it goes down.
            threading.Thread(target=standin.restart, args=(down_s,)).start()
            return
        if self.command == "POST":
            try:
                knobs = Knobs(**{**standin.knobs.model_dump(), **json.loads(body)})
            except ValidationError as error:
                self._send(400, {"error": str(error)})
                return
            standin.knobs = knobs
        self._send(200, standin.state())


def _encoded(value: object) -> bytes:
    """Return JSON as Go writes it, in UTF-8; half a surrogate pair stays an escape."""
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value).encode()


def _join(chunks: Iterator[Chunk]) -> Chunk:
    """Return all parts as one, with the measurements of the last."""
    parts = list(chunks)
    return Chunk(
        "".join(chunk.response for chunk in parts),
        "".join(chunk.thinking for chunk in parts),
        parts[-1].done_reason,
        parts[-1].metrics,
    )


def _record(method: str, path: str, body: bytes, headers: dict[str, str]) -> RecordedRequest:
    """Return a request with digests of its images."""
    try:
        value = parse(body) if body else None
    except Refused:
        value = None
    digests: list[str] = []
    for holder in [value, *((value or {}).get("messages") or [])]:
        if isinstance(holder, dict) and isinstance(holder.get("images"), list):
            digests += [_digest(image) for image in holder["images"]]
            holder["images"] = len(holder["images"])
    return RecordedRequest(method, path, value, digests, time.time(), headers)


def _digest(image: object) -> str:
    try:
        return hashlib.sha256(decode(str(image))).hexdigest()
    except Refused:
        return "not base64"
