"""Runs of bulk work: whoever drives one reports how far it is, and operators see all of them."""

import time
from typing import Annotated, Literal
from uuid import UUID

import structlog
from flask import Blueprint, Response, request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from api.http.openapi import JSON, operation
from api.http.operators import check_operator
from api.http.request_parsing import malformed, read_object
from api.redis_retry import BRIEF_RETRY_S, redis_call
from api.routes.vision import BASE
from api.service import VisionService
from shared.errors import BadRequest, TooLarge
from shared.redis.runs import Reported
from shared.text import WellFormed

log = structlog.get_logger(__name__)

MOST_BYTES = 8192
"""Of a report, which has some numbers and a name."""
SILENT_S = 30.0
"""How long a run may say nothing; its runner reports every five seconds."""
MOST = 1_000_000_000
"""The largest number of a report."""


def _number(value: object) -> object:
    """Refuse what pydantic would make a number of."""
    if isinstance(value, bool | str):
        raise ValueError("not a number")  # noqa: TRY004 - pydantic's way to refuse
    return value


Count = Annotated[int, Field(strict=False, ge=0, le=MOST), BeforeValidator(_number)]
"""As in JSON, 5.0 is a whole number, too."""


class RunReport(BaseModel):
    """How far a run of bulk work is."""

    model_config = ConfigDict(strict=True)

    kind: Literal["folders", "photoprism"] = Field(description="where its photos are")
    name: WellFormed = Field(max_length=200, description="for people")
    state: Literal["running", "waiting", "done", "stopped", "failed"] = Field(
        description="`waiting`: for the hours in which it may ask, or for a service that is away; "
        "`stopped`: by a person; `failed`: given up"
    )
    total: Count = Field(description="photos that it asks about")
    done: Count = Field(description="how many of them are done with")
    failed: Count = Field(description="photos that failed")
    per_hour: float | None = Field(
        None, ge=0, le=MOST, description="photos an hour lately; null: not known yet"
    )
    left_s: float | None = Field(
        None, ge=0, le=MOST, description="seconds until it will be done; null: not known"
    )


class RunEntry(RunReport):
    """A run, as it said last."""

    id: str
    reported_s_ago: float = Field(description="seconds since it said so")
    is_silent: bool = Field(description="it has missed several reports: it may have been killed")


class RunsReply(BaseModel):
    """Runs of bulk work that are under way, or were until a moment ago."""

    runs: tuple[RunEntry, ...]


def run_routes(service: VisionService) -> Blueprint:
    """Return the routes ``/api/v1/vision/runs[/<id>]``."""
    routes, settings = Blueprint("runs", __name__, url_prefix=BASE), service.settings

    @routes.put("/runs/<uuid:run>")
    @operation(
        "operation",
        body={JSON: RunReport},
        reply={JSON: RunReport},
        errors=[400, 401, 404, 408, 413, 415, 429, 503],
    )
    def report(run: UUID) -> Response:
        """Tell operators how far a run of bulk work is; `vision run` does so every few seconds."""
        if (request.content_length or 0) > MOST_BYTES:
            raise TooLarge(f"A report has at most {MOST_BYTES} bytes.")
        try:
            told = RunReport.model_validate(read_object(request))
        except ValidationError as err:
            raise BadRequest(malformed(err)) from err
        text = told.model_dump_json()
        with redis_call(BRIEF_RETRY_S):
            service.store.runs.put(str(run), text)
        return Response(text, mimetype="application/json")

    @routes.get("/runs")
    @operation("operation", reply={JSON: RunsReply}, errors=[401, 403, 429, 503])
    def runs() -> Response:
        """List the runs of bulk work that reported in the last ten minutes, the latest first."""
        check_operator(request, settings)
        with redis_call(BRIEF_RETRY_S):
            found = service.store.runs.all()
        now = time.time()
        entries = tuple(entry for reported in found if (entry := _entry(reported, now)))
        return Response(RunsReply(runs=entries).model_dump_json(), mimetype="application/json")

    return routes


def _entry(reported: Reported, now: float) -> RunEntry | None:
    """Return what a run said last; ``None``: an API of a later version wrote what we cannot read.

    Args:
        reported: what Redis has of it.
        now: seconds since the epoch.
    """
    try:
        report = RunReport.model_validate_json(reported.report)
    except ValidationError as err:
        log.warning("a run's report cannot be read", run=reported.run, error=malformed(err))
        return None
    return RunEntry(
        **report.model_dump(),
        id=reported.run,
        reported_s_ago=max(0.0, now - reported.at),
        is_silent=now - reported.at > SILENT_S,
    )
