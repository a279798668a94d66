"""Tells the service how far a run is, for its operators; the run never waits for that."""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from http import HTTPStatus

from vision.runner.progress import Report
from vision.service import Service, ServiceError

EVERY_S = 5.0
"""Between two reports."""
MOST_LETTERS = 200
"""Of a name; the service takes no more."""


class State(StrEnum):
    """How a run is; ``WAITING``: for its hours, or for a service that is away."""

    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


class Announcer:
    """Reports on one run. Services that are older or refuse are told no more."""

    def __init__(self, service: Service, kind: str, name: str) -> None:
        """Prepare.

        Args:
            service: is told.
            kind: where the photos are: ``folders`` or ``photoprism``.
            name: of the run, for people.
        """
        self._service, self._kind = service, kind
        shown = name.encode(errors="replace").decode()  # names of files may be no text
        self._name = shown if len(shown) <= MOST_LETTERS else f"{shown[: MOST_LETTERS - 1]}…"
        self._id = str(uuid.uuid4())
        self.end = State.FAILED
        """How the run has ended; whoever knows better says so."""

    @contextmanager
    def following(self, report: Report, is_waiting: Callable[[], bool]) -> Iterator[None]:
        """Report every few seconds while the run goes on, and its end.

        Args:
            report: what is counted.
            is_waiting: returns whether nothing is asked now.
        """
        over, is_listening = threading.Event(), threading.Event()

        def tell_often() -> None:
            while not over.wait(EVERY_S):
                state = State.WAITING if is_waiting() else State.RUNNING
                if not self._tell(report, state, is_listening):
                    return

        thread = threading.Thread(target=tell_often, name="announcer", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            if is_listening.is_set():  # who has not heard of the run need not know of its end
                self._tell(report, self.end, is_listening)

    def _tell(self, report: Report, state: State, is_listening: threading.Event) -> bool:
        """Report; return whether it makes sense to do so again."""
        about = {"kind": self._kind, "name": self._name, "state": state, **report.figures()}
        try:
            self._service.report(self._id, about)
        except ServiceError as err:
            is_listening.clear()
            return err.status in (0, HTTPStatus.TOO_MANY_REQUESTS) or err.status >= 500
        is_listening.set()
        return True
