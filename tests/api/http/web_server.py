"""A web server on loopback, some of whose pages misbehave."""

import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from shared.units import MEGA

BODY = b"the bytes of an image"
FLOOD = 48 * MEGA
"""More bytes than all buffers between server and client hold."""


class Site(ThreadingHTTPServer):
    """A web server that counts connections and transferred bytes."""

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.connections = 0
        self.flooded = 0
        self.encoded_body = b""
        self.closing = threading.Event()
        self.disconnected = threading.Event()

    def get_request(self) -> tuple[Any, Any]:
        self.connections += 1
        return super().get_request()

    def handle_error(self, *_: object) -> None:
        """Say nothing: clients break off because that is tested."""

    def url(self, page: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}/{page}"


class Page(BaseHTTPRequestHandler):
    """``/<method>/<argument>`` is answered by that method."""

    server: Site
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        method, _, argument = self.path[1:].partition("/")
        try:
            getattr(self, method)(argument)
        except OSError:
            self.close_connection = True
            self.server.disconnected.set()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Log nothing."""

    def begin(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def image(self, _: str) -> None:
        self.begin(200, Content_Length=len(BODY))
        self.wfile.write(BODY)

    def status(self, code: str) -> None:
        self.begin(int(code), Content_Length=0)

    def length(self, size: str) -> None:
        self.begin(200, Content_Length=size)
        self.wfile.write(bytes(int(size)))

    def announce(self, size: str) -> None:
        self.begin(200, Content_Length=size)
        self.close_connection = True

    def to(self, url: str) -> None:
        self.begin(302, Location=url, Content_Length=0)

    def to_bytes(self, location: str) -> None:
        self.to(bytes.fromhex(location).decode("latin-1"))

    def asked(self, _: str) -> None:
        self.begin(200, Content_Length=len(self.path))
        self.wfile.write(self.path.encode())

    def hops(self, left: str) -> None:
        self.to(f"/hops/{int(left) - 1}" if int(left) > 1 else "/image")

    def flood(self, _: str, status: int = 200, **headers: object) -> None:
        self.begin(status, Transfer_Encoding="chunked", **headers)
        while self.server.flooded < FLOOD:
            self.wfile.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            self.server.flooded += 0x10000
        self.wfile.write(b"0\r\n\r\n")

    def flood_and_redirect(self, _: str) -> None:
        self.flood("", 302, Location="/image")

    def encoded(self, coding: str) -> None:
        """Answer in a content coding, asked for or not, with the body that was set."""
        body = self.server.encoded_body
        self.begin(200, Content_Encoding=coding, Content_Length=len(body))
        self.wfile.write(body)

    def headers_sent(self, _: str) -> None:
        body = str(self.headers).encode()
        self.begin(200, Content_Length=len(body))
        self.wfile.write(body)

    def nothing(self, _: str) -> None:
        self.close_connection = True

    def reset(self, _: str) -> None:
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True

    def half(self, _: str) -> None:
        self.begin(200, Content_Length=100)
        self.wfile.write(bytes(50))
        self.close_connection = True

    def half_in_chunks(self, _: str) -> None:
        self.begin(200, Transfer_Encoding="chunked")
        self.wfile.write(b"64\r\n" + bytes(50))
        self.close_connection = True

    def drip(self, _: str) -> None:
        self.begin(200, Content_Length=MEGA)
        self.drip_headers("")

    def drip_headers(self, _: str) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not self.server.closing.wait(0.02):
            self.wfile.write(b"x")
        self.close_connection = True

    def silence(self, _: str) -> None:
        self.server.closing.wait()
        self.close_connection = True

    def garbage(self, _: str) -> None:
        self.wfile.write(b"this is not HTTP\r\n\r\n")
        self.close_connection = True
