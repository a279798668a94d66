"""Asks one question about one photo, again where that may help, and says who cannot be helped."""

import base64
import random
import time

from vision.http import pause_s
from vision.runner.gate import Gate
from vision.runner.refusals import Refusal, meaning_of
from vision.runner.work import Answer, Question
from vision.service import Service, ServiceError

TRIES = 3
"""Of a question that a model fails on."""
LATE_S = 2 * 3600.0
"""How long a question is asked that gets no answer in time while others do."""


class Failed(Exception):
    """This question about this photo cannot be answered; the message says why."""


class GaveUp(Exception):
    """The service answers nobody, or refuses everybody; the message says why."""


class Asker:
    """Asks a service, through a gate."""

    def __init__(self, service: Service, gate: Gate, patience_s: float) -> None:
        """Prepare to ask.

        Args:
            service: who is asked.
            gate: how many ask at once.
            patience_s: seconds that a service may answer nobody, until the run is given up;
                infinite: for ever.
        """
        self._service, self._gate, self._patience_s = service, gate, patience_s

    def ask(self, question: Question, content: bytes, key: str) -> Answer:
        """Return the answer to a question, as soon as there is one.

        Args:
            question: the question.
            content: the photo.
            key: what identifies the question about this photo.

        Raises:
            Failed: there will be none.
            GaveUp: the service answers nobody.
            Stopped: the run is over.
        """
        body = question.body(base64.b64encode(content).decode(), key)
        budget = _Budget()
        tries = 0
        while True:
            with self._gate.turn():
                sent_at = time.monotonic()
                try:
                    return self._send(question, body)
                except ServiceError as err:
                    refusal, took_s = err, time.monotonic() - sent_at
            meaning = meaning_of(refusal)
            if meaning is Refusal.NOTHING_FOUND:
                return self._nothing(question, refusal.host)
            if meaning is Refusal.FOR_ALL:
                raise GaveUp(str(refusal)) from refusal
            wait_s = pause_s(refusal.retry_after_s, tries, self._patience_s)
            if meaning is not Refusal.LATE or self._gate.silence_s < took_s:
                budget.spend(refusal, meaning, took_s + wait_s)
            if self._gate.silence_s > self._patience_s:
                raise GaveUp(
                    f"There was no answer for {self._patience_s:.0f} s: {refusal}"
                ) from refusal
            self._wait(refusal, meaning, sent_at, wait_s)
            tries += 1

    def _send(self, question: Question, body: dict[str, object]) -> Answer:
        began = time.monotonic()
        reply, host = self._service.photo(question.task, body)
        self._gate.answered()
        model, result = reply["model"], reply["result"].get(question.task)
        if result is None:
            raise Failed(f"The reply has no {question.task}.")
        seconds = time.monotonic() - began
        return Answer(result, model["name"], model["version"], seconds, time.time(), host)

    def _nothing(self, question: Question, host: str) -> Answer:
        """Return that the model has nothing to say, which is an answer, too."""
        self._gate.answered()
        return Answer(None, question.model, question.version, 0.0, time.time(), host)

    def _wait(
        self, refusal: ServiceError, meaning: Refusal, sent_at: float, seconds: float
    ) -> None:
        if meaning in (Refusal.FULL, Refusal.LATE):
            self._gate.refused(sent_at)
        elif meaning is Refusal.AWAY:
            self._gate.pause(seconds, str(refusal))
        # Not all at once, or the service is full again.
        self._gate.sleep(seconds * random.uniform(1, 1.2))  # noqa: S311 - no secret


class _Budget:
    """What may be spent on one question, until its photo counts as failed.

    That a service is full or away, or late for all, is no fault of a photo, and costs nothing.
    """

    def __init__(self) -> None:
        self._failures, self._late, self._late_s = 0, 0, 0.0

    def spend(self, refusal: ServiceError, meaning: Refusal, seconds: float) -> None:
        """Count a try.

        Args:
            refusal: how it ended.
            meaning: of that.
            seconds: until the next one.

        Raises:
            Failed: there is to be no other.
        """
        if meaning is Refusal.FOR_PHOTO:
            raise Failed(str(refusal)) from refusal
        if meaning is Refusal.FAILED:
            self._failures += 1
            if self._failures >= TRIES:
                raise Failed(str(refusal)) from refusal
        if meaning is Refusal.LATE:
            self._late, self._late_s = self._late + 1, self._late_s + seconds
            if self._late_s >= LATE_S:
                hours = f"{LATE_S / 3600:g} hours"
                raise Failed(f"{refusal} It was asked {self._late} times in {hours}.") from refusal
