"""Who works together in a run, by the options of a command."""

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from vision.console import put, say
from vision.runner.asking import Asker
from vision.runner.capacity import Follower
from vision.runner.gate import Gate
from vision.runner.journal import Journal
from vision.runner.refusals import meaning_of
from vision.runner.run import Runner
from vision.runner.shrinking import shrunk
from vision.runner.wanted import AUTO, CannotRun, Wanted, most_in_flight
from vision.runner.window import Window
from vision.runner.work import Item, Question
from vision.schemas import Model
from vision.service import Service, ServiceError, is_loopback

PATIENCE_S = 600.0
KNOCK_S = 30.0
"""Between two looks for a service that is not there yet."""
LOOKERS = 8
"""Threads that look which photos would be asked about."""


class Manner(NamedTuple):
    """How a command asks."""

    concurrency: str
    """A number, or :data:`~vision.runner.wanted.AUTO`."""
    patience_s: float
    between: str
    """Hours in which it asks; empty: always."""
    keep_waiting: bool
    retry_failed: bool


class Crew(NamedTuple):
    """Who works together."""

    questions: Sequence[Question]
    gate: Gate
    runner: Runner
    follower: Follower | None

    def list_open(self, items: Sequence[Item]) -> None:
        """List the items that a run would ask about, on standard output."""
        left = 0
        with ThreadPoolExecutor(LOOKERS) as pool:
            for item, is_open in zip(
                items, pool.map(self.runner.is_to_be_asked, items), strict=True
            ):
                left += is_open
                if is_open:
                    put(item.shown)
        asked = ", ".join(f"{question.task} of {question.model}" for question in self.questions)
        say(f"{left:,} of {len(items):,} photos would be asked about: {asked}.")


def gather(service: Service, wanted: Wanted, manner: Manner, journal: Journal) -> Crew:
    """Prepare a run; nothing is asked yet.

    Raises:
        CannotRun: the options ask for what cannot be done.
        ServiceError: the service does not say which models it has.
    """
    try:
        window = Window.parse(manner.between) if manner.between else None
    except ValueError as err:
        raise CannotRun(str(err)) from err
    models = _models(service, keep_waiting=manner.keep_waiting)
    questions = wanted.questions(models)
    for remark in wanted.remarks(models, questions):
        say(remark)
    gate = Gate(most_in_flight(manner.concurrency, service, questions), window, tell=say)
    asker = Asker(service, gate, math.inf if manner.keep_waiting else manner.patience_s)
    runner = Runner(
        journal,
        questions,
        gate,
        asker,
        retry_failed=manner.retry_failed,
        sent_as=form_for(service),
    )
    follower = Follower(service, questions, gate) if manner.concurrency == AUTO else None
    return Crew(questions, gate, runner, follower)


def form_for(service: Service) -> Callable[[bytes], bytes]:
    """Return what makes of a photo what is sent: smaller ones go over a network."""
    return bytes if is_loopback(service.url) else shrunk


def _models(service: Service, *, keep_waiting: bool) -> Sequence[Model]:
    """Return the models of the catalogue, as soon as the service tells them."""
    is_told = False
    while True:
        try:
            return service.models()
        except ServiceError as err:
            if not (keep_waiting and meaning_of(err).passes):
                raise
            if not is_told:
                say(f"Waiting: {err}")
            is_told = True
            time.sleep(KNOCK_S)
