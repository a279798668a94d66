"""The header ``X-Worker-Host``: the machines whose workers answered a request, or failed on it."""

from flask import Response, g

from api.http.openapi import reply_header

HEADER = "X-Worker-Host"
ERRORS_OF_WORKERS = (400, 404, 413, 422, 500, 502, 503)
"""Statuses of errors that workers give; those that the API itself gives name no machine."""
names_worker = reply_header(
    HEADER,
    "names of the machines whose workers answered, or failed, separated by commas",
    on_errors=ERRORS_OF_WORKERS,
)
"""Notes the header at a documented view."""


def note_worker(*hosts: str) -> None:
    """Have the reply to this request name some machines; empty names are not known."""
    g.worker_hosts = ", ".join(filter(None, hosts))


def add_header(response: Response) -> Response:
    """Name the machines that were noted."""
    if hosts := g.get("worker_hosts"):
        response.headers[HEADER] = hosts
    return response
