"""The OpenAPI document, and the page that shows it: Swagger UI, which may be below a path.

A proxy that serves us below a path removes the path, so we do not know it: all addresses are
relative, as those of our own page.
"""

from collections.abc import Callable

from flask import Flask, Response, jsonify, request
from swagger_ui import flask_api_doc

from api.http.openapi import JsonSchema

PAGE = "/docs"
SHOWS_PAGE = "bp_docs.swagger_blueprint_doc_handler"
"""The endpoint of Swagger UI's page."""

ABOVE: JsonSchema = {"url": "..", "description": "this service"}


def add_documents(app: Flask, made: JsonSchema) -> None:
    """Add ``/openapi.json`` and ``/docs`` to an application.

    Args:
        app: the application.
        made: the document.
    """

    def document() -> Response:
        # Requests go to where the servers are; Swagger UI's copy lies one level below that.
        is_copy = request.path.startswith(PAGE)
        return jsonify({**made, "servers": [ABOVE]} if is_copy else made)

    app.add_url_rule("/openapi.json", view_func=document)
    app.add_url_rule(f"{PAGE}/openapi.json", view_func=document)  # where the page looks
    flask_api_doc(app, config_rel_url="/openapi.json", url_prefix=PAGE, title="Vision Workers")
    app.view_functions[SHOWS_PAGE] = _with_relative_addresses(app.view_functions[SHOWS_PAGE])


def _with_relative_addresses(show: Callable[..., object]) -> Callable[[], str]:
    def page() -> str:
        here = "" if request.path.endswith("/") else f"{PAGE[1:]}/"
        return f"{show()}".replace(f'"{PAGE}/', f'"{here}')

    return page
