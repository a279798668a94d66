"""Asks one question about one photo, again where that may help, and says who cannot be helped."""

import base64
import random
import time

from vision.runner.gate import Gate
from vision.runner.work import Answer, Question
from vision.service import Service, ServiceError

FULL = 429
AWAY = (0, 503)
"""No reply, or nobody who serves: the same for every photo, so that all wait."""
UNLUCKY = (500, 502, 504)
"""A model that failed or took too long: it may have been for the photos beside this one."""
NOT_FOR_US = (401, 403, 404)
"""A wrong key, or a model that is not there: so for every photo."""
NOTHING_FOUND = "NothingFound"
"""Kind of the error of a model that looked at a photo and found no caption for it."""
TRIES = 3
"""Of a question that a model fails on."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
"""Between two tries where the service does not say how long to wait."""


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
        tries = pauses = 0
        while True:
            try:
                with self._gate.turn():
                    return self._send(question, body)
            except ServiceError as err:
                if err.kind == NOTHING_FOUND:
                    return self._nothing(question)
                if err.status in NOT_FOR_US:
                    raise GaveUp(str(err)) from err
                tries += err.status in UNLUCKY
                if tries >= TRIES or err.status not in (FULL, *AWAY, *UNLUCKY):
                    raise Failed(str(err)) from err
                if self._gate.silence_s > self._patience_s:
                    raise GaveUp(
                        f"Nothing was answered for {self._patience_s:.0f} s: {err}"
                    ) from err
                self._wait(err, pauses)
                pauses += 1

    def _send(self, question: Question, body: dict[str, object]) -> Answer:
        began = time.monotonic()
        reply, host = self._service.photo(question.task, body)
        self._gate.answered()
        model, result = reply["model"], reply["result"].get(question.task)
        if result is None:
            raise Failed(f"The reply has no {question.task}.")
        seconds = time.monotonic() - began
        return Answer(result, model["name"], model["version"], seconds, time.time(), host)

    def _nothing(self, question: Question) -> Answer:
        """Return that the model has nothing to say, which is an answer, too."""
        self._gate.answered()
        return Answer(None, question.model, question.version, 0.0, time.time())

    def _wait(self, err: ServiceError, pauses: int) -> None:
        seconds = err.retry_after_s
        if seconds is None:
            seconds = min(FIRST_PAUSE_S * 2**pauses, LONGEST_PAUSE_S)
        seconds = min(seconds, self._patience_s)
        if err.status == FULL:
            self._gate.refused()
        elif err.status in AWAY:
            self._gate.pause(seconds, str(err))
        # Not all at once, or the service is full again.
        self._gate.sleep(seconds * random.uniform(1, 1.2))  # noqa: S311 - no secret
