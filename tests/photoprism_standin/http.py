"""The API over HTTP, and the faults of the way to it."""

import json
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.photoprism_standin.api import JSON, Answer, Call
from tests.photoprism_standin.refusals import NOT_FOUND, Refused, bare

if TYPE_CHECKING:
    from tests.photoprism_standin.server import PhotoPrismStandIn
    from tests.standin_server import ClosableServer

BASE = "/api/v1/"


class Handler(BaseHTTPRequestHandler):
    """Serves one connection in a thread of its own."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "ClosableServer"

    def do_GET(self) -> None:
        standin: PhotoPrismStandIn = self.server.standin
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = tuple(unquote(part) for part in url.path.removeprefix(BASE).split("/"))
        parameters = dict(parse_qsl(url.query, keep_blank_values=True))
        call = Call(self.command, path, parameters, self.headers, body)
        with standin.recorded(call) as request:
            answer = standin.fault(url.path) or self._answer(standin, call, url.path)
            request.status = answer.status
        if standin.loses(request):
            self.close_connection = True
        else:
            self._send(answer)

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the base class looks for these names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        """Log nothing."""

    def _answer(self, standin: "PhotoPrismStandIn", call: Call, path: str) -> Answer:
        if call.path[0] == "t":
            time.sleep(standin.faults.thumbnail_s)
        try:
            if not path.startswith(BASE):
                raise bare(HTTPStatus.NOT_FOUND, NOT_FOUND)
            answer = standin.api.answer(call)
        except Refused as refused:
            return Answer(refused.body, status=refused.status)
        if call.method == "GET" and call.path[0] == "photos" and call.path[1:]:
            standin.after_read.pop(call.path[1], lambda: None)()
        return answer

    def _send(self, answer: Answer) -> None:
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        if answer.kind == JSON:
            self.send_header("Cache-Control", "no-store")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
