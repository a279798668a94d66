"""Runs of bulk work, as those who drive them report on them."""

import time
from typing import Any, NamedTuple

import redis

KEPT_S = 600
"""How long a report is kept: that long it can be seen that a run has ended, or reports no more."""
MOST = 50
"""Runs that are kept; of more, those with the oldest reports are forgotten."""
_INDEX = "vision:runs"


class Reported(NamedTuple):
    """What a run said last."""

    run: str
    """Its id."""
    at: float
    """When, in seconds since the epoch."""
    report: str
    """JSON."""


class Runs:
    """``vision:run:<id>``: the report; ``vision:runs``: ids by the time of the report."""

    def __init__(self, client: "redis.Redis") -> None:
        self._redis = client

    def put(self, run: str, report: str) -> None:
        """Keep what a run says, instead of what it said before."""
        now = time.time()
        with self._redis.pipeline() as pipe:
            pipe.set(_key(run), report, ex=KEPT_S)
            pipe.zadd(_INDEX, {run: now})
            pipe.zremrangebyscore(_INDEX, "-inf", now - KEPT_S)
            pipe.zremrangebyrank(_INDEX, 0, -MOST - 1)
            pipe.expire(_INDEX, KEPT_S)
            pipe.execute()

    def all(self) -> list[Reported]:
        """Return what each run said last, the latest first."""
        found: Any = self._redis.zrange(_INDEX, 0, -1, desc=True, withscores=True)
        if not found:
            return []
        reports: list[Any] = self._redis.mget([_key(run.decode()) for run, _ in found])
        return [
            Reported(run.decode(), at, report.decode())
            for (run, at), report in zip(found, reports, strict=True)
            if report
        ]


def _key(run: str) -> str:
    return f"vision:run:{run}"
