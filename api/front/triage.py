"""Decides by its header what a request needs before Flask can answer it."""

from enum import Enum
from typing import NamedTuple

from flask import Flask, Request
from werkzeug.exceptions import HTTPException

from api.front.environ import Environ
from api.http.auth import check_access
from api.http.priority import priority_of
from shared.errors import TooLarge, Unauthorized, VisionError
from shared.settings import Settings
from shared.units import MEGA
from shared.vocabulary import Priority

IN_SLOT = frozenset(
    {"vision.post", "vision.get"}
    | {"ollama.generate", "ollama.chat", "ollama.show"}
    | {"openai.chat_completions", "openai.responses"}
)
"""Endpoints that run a model, or decode what a client sends."""
WITH_SMALL_BODY = frozenset({"runs.report"})
"""Endpoints that read a small body, and may wait for Redis."""
WITHOUT_WAITING = frozenset({"health.livez"})
"""Endpoints that neither wait for anything nor take time."""

DOCUMENTS = frozenset(
    {
        "document",
        "bp_docs.static",
        "bp_docs.swagger_blueprint_doc_handler",
        "page.greet",
        "page.static",
    }
)
"""Endpoints that wait for nothing, and take some time."""


class Needs(Enum):
    """What a request needs."""

    NOTHING = "nothing"
    """It is answered in the event loop, because it is refused, or asks for a sign of life."""
    FILE = "file"
    """It takes its time in the interpreter, so that a second thread would only delay the others."""
    THREAD = "thread"
    """It may wait for Redis."""
    SMALL_BODY = "small body"
    """It is read as a whole, which is little, and may wait for Redis."""
    SLOT = "slot"
    """It is read as a whole, and runs a model."""


_OTHER_NEEDS = {
    **dict.fromkeys(DOCUMENTS, Needs.FILE),
    **dict.fromkeys(WITH_SMALL_BODY, Needs.SMALL_BODY),
}
"""By endpoint, for those that need neither a slot nor just a thread."""


class Triage(NamedTuple):
    """What a request needs, and how it is refused, unless Flask finds that out by itself."""

    needs: Needs
    refusal: VisionError | None = None
    priority: Priority = Priority.PERSON


def triage(app: Flask, settings: Settings, environ: Environ) -> Triage:
    """Return what a request needs."""
    request = Request(environ)
    try:
        endpoint, _ = app.url_map.bind_to_environ(environ).match()
    except HTTPException:
        return Triage(Needs.NOTHING)
    if endpoint in WITHOUT_WAITING or request.method == "OPTIONS":
        return Triage(Needs.NOTHING)
    try:
        check_access(request, settings)
    except Unauthorized:
        return Triage(Needs.NOTHING)
    if endpoint not in IN_SLOT:
        return Triage(_OTHER_NEEDS.get(endpoint, Needs.THREAD))
    try:
        if (request.content_length or 0) > settings.max_body_mb * MEGA:
            raise TooLarge("The request body is too large.")
        return Triage(Needs.SLOT, priority=priority_of(request))
    except VisionError as refusal:
        return Triage(Needs.NOTHING, refusal)
