"""A request as WSGI has it."""

import io
import re
import sys
from typing import Any
from urllib.parse import unquote_to_bytes

from api.front.received import ReceivedBody
from api.http.client_connection import IS_UNREAD

Environ = dict[str, Any]

_SLASHES = re.compile("//+")
_WITHOUT_PREFIX = {"content-length": "CONTENT_LENGTH", "content-type": "CONTENT_TYPE"}


def make_environ(scope: dict[str, Any]) -> Environ:
    """Return the environment of a request, without its body.

    Args:
        scope: the request as ASGI has it.
    """
    server, port = scope["server"]
    client = scope["client"]
    path = unquote_to_bytes(scope["raw_path"]).decode("latin-1")
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        # Clients whose base URI ends with a slash send two of them.
        "PATH_INFO": _SLASHES.sub("/", path),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": server,
        "SERVER_PORT": str(port or ""),
        "REMOTE_ADDR": client[0] if client else "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if "_" in name:  # it would pass for the name with a hyphen, which a proxy may have checked
            continue
        key = _WITHOUT_PREFIX.get(name) or f"HTTP_{name.upper().replace('-', '_')}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ


def set_body(environ: Environ, body: ReceivedBody) -> None:
    """Give a request its body, which is complete and no longer in chunks."""
    environ["wsgi.input"] = body
    environ.pop(IS_UNREAD, None)
    if environ.pop("HTTP_TRANSFER_ENCODING", ""):
        environ["CONTENT_LENGTH"] = str(body.size)
