"""Requests of web pages from other origins (CORS), as Ollama answers them.

Ollama accepts pages on localhost and those of desktop applications, refuses all others with 403,
and takes further origins from ``OLLAMA_ORIGINS``: ``AllowedOrigins`` in envconfig/config.go and
``GenerateRoutes`` in server/routes.go of https://github.com/ollama/ollama, which configures
https://github.com/gin-contrib/cors. Our own routes answer the same pages, but refuse none: a page
of an origin that is not allowed cannot read what is answered.
"""

import re
from collections.abc import Iterable

from flask import Flask, Request, Response, request

from api.http import worker_host
from api.http.auth import GUARDED
from shared.errors import Refused

DEFAULT_ORIGINS = (
    *(
        f"{scheme}://{host}{port}"
        for scheme in ("http", "https")
        for host in ("localhost", "127.0.0.1", "0.0.0.0")  # noqa: S104 - names of hosts
        for port in ("", ":*")
    ),
    *("app://*", "file://*", "tauri://*", "vscode-webview://*", "vscode-file://*"),
)
METHODS = "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS"
EXPOSED = f"X-Request-ID, Retry-After, Server-Timing, {worker_host.HEADER}"
"""Headers of ours that a page may read."""
MAX_AGE_S = 12 * 60 * 60
"""How long a browser may remember the answer to a preflight request."""


class CorsPolicy:
    """Which origins may use the API."""

    def __init__(self, more: Iterable[str], own_base: str) -> None:
        """Prepare.

        Args:
            more: origins beside the default ones; ``*`` stands for any characters.
            own_base: the path below which routes are neither Ollama's nor OpenAI's.
        """
        self._own_base = own_base
        patterns = "|".join(map(_as_regex, (*DEFAULT_ORIGINS, *more)))
        self._allowed = re.compile(patterns, re.IGNORECASE)

    def register(self, app: Flask) -> None:
        """Check each request, and add the headers that browsers look for."""
        app.before_request(self._check)
        app.after_request(self._add_headers)

    def _check(self) -> Response | None:
        """Answer a preflight request, which carries no API key, and refuse foreign pages.

        Raises:
            Refused: the page's origin is not allowed.
        """
        origin = self._foreign_origin()
        if not origin:
            return None
        is_preflight = request.method == "OPTIONS"
        is_ours = request.path.startswith(self._own_base)
        if not self._allowed.fullmatch(origin) and (is_preflight or not is_ours):
            raise Refused(
                "Web pages of this origin may not use the service: VISION_CORS_ORIGINS lists those "
                "that may."
            )
        return Response(status=204) if is_preflight else None

    def _add_headers(self, response: Response) -> Response:
        origin = self._foreign_origin()
        if origin and self._allowed.fullmatch(origin):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = EXPOSED
            response.vary.add("Origin")
            if request.method == "OPTIONS":
                wanted = request.headers.get("Access-Control-Request-Headers", "")
                response.headers["Access-Control-Allow-Headers"] = wanted
                response.headers["Access-Control-Allow-Methods"] = METHODS
                response.headers["Access-Control-Max-Age"] = str(MAX_AGE_S)
        return response

    def _foreign_origin(self) -> str:
        """Return the origin of the page that sends a request; empty: none, or our own."""
        origin = request.headers.get("Origin", "")
        is_covered = request.path == "/" or request.path.startswith(GUARDED)
        return origin if is_covered and not is_own_origin(request) else ""


def is_own_origin(sent: Request) -> bool:
    """Return whether a request comes from a page of this service, or from no page."""
    origin = sent.headers.get("Origin", "")
    return origin in ("", f"http://{sent.host}", f"https://{sent.host}")


def _as_regex(pattern: str) -> str:
    """Translate a pattern; a ``*`` for the port stands for digits only."""
    return re.escape(pattern).replace(r":\*", r":\d+").replace(r"\*", ".*")
