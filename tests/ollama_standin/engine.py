"""The server without HTTP: generation, failures, and a record of the requests."""

import math
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.ollama_standin.answers import BROKEN, compose, size, tokens
from tests.ollama_standin.knobs import Knobs, Spec
from tests.ollama_standin.memory import Disconnected, Memory, Model, wait
from tests.ollama_standin.request_parsing import GenerationRequest, Refused

TOKENS_PER_IMAGE = 256


class ConnectionCut(Exception):
    """The knob ``cut_next`` has the connection reset."""


class Malformed(Exception):
    """The knob ``malformed_next`` has a line that is no part of an answer sent."""


@dataclass
class Chunk:
    """A part of an answer; the last one has the reason for the end, and measurements."""

    response: str = ""
    thinking: str = ""
    done_reason: str = ""
    metrics: dict[str, int] = field(default_factory=dict)


@dataclass
class RecordedRequest:
    """A request; in ``body``, images are replaced by their number."""

    method: str
    path: str
    body: dict[str, Any] | None
    images: list[str]
    at: float
    headers: dict[str, str] = field(default_factory=dict)
    status: int | None = None
    ended: float | None = None
    aborted: bool = False

    @property
    def generates(self) -> bool:
        """Whether it has a prompt, and does not only load or unload the model."""
        return bool(self.body and (self.body.get("prompt") or self.body.get("messages")))


class Engine(Memory):
    """Answers requests."""

    def __init__(self, models: Mapping[str, Spec] | Sequence[str], knobs: Knobs) -> None:
        super().__init__(models, knobs)
        self.requests: list[RecordedRequest] = []
        self.answered = self.aborted = 0
        self.active = self.most_active = self.in_flight = 0

    def generates(self) -> list[RecordedRequest]:
        """Return the requests with a prompt, in order of arrival."""
        return [request for request in self.requests if request.generates]

    def applies(self, knob: str) -> bool:
        """Return whether a ``…_next`` knob applies to this answer, and count it down."""
        with self.changed:
            left: int = getattr(self.knobs, knob)
            if left > 0:
                setattr(self.knobs, knob, left - 1)
            return left != 0

    def run(self, request: GenerationRequest, disconnected: Disconnected) -> Generator[Chunk]:
        """Yield the answer.

        Raises:
            Refused: the request is invalid, or a knob has it fail.
            ClientDisconnected: nobody waits for the answer any more.
        """
        started = time.monotonic()
        model = self.find(request.model)
        self._check(request, model)
        if request.is_empty and request.keep_alive == 0:
            self.unload(model)
            yield Chunk(done_reason="unload")
            return
        if self.knobs.fail_at == "headers" and self.applies("fail_next"):
            raise self.failure()
        with self.slot(model, request.keep_alive, disconnected):
            if not self.load(model, disconnected):
                raise self.failure()
            loaded = time.monotonic()
            if self.knobs.hang_at == "headers" and self.applies("hang_next"):
                wait(math.inf, disconnected)
            if request.is_empty:
                yield Chunk(done_reason="load")
                return
            yield from self._generate(model, request, disconnected, (started, loaded))

    def _check(self, request: GenerationRequest, model: Model) -> None:
        """Raise an error if the model, or a knob, does not take the request."""
        if request.think and not model.spec.thinks:
            raise Refused(400, f'"{request.model}" does not support thinking')
        if self.applies("missing_next"):
            raise Refused(404, f"model '{request.model}' not found")
        if self.knobs.min_side_px and any(
            min(size(image)) < self.knobs.min_side_px for image in request.images
        ):
            factor = self.knobs.min_side_px
            raise Refused(500, f"height:8 or width:8 must be larger than factor:{factor}")
        if self.knobs.one_image and len(request.images) > 1:
            raise Refused(400, "this model only supports one image: more than one image sent")

    def failure(self) -> Refused:
        return Refused(self.knobs.fail_status, self.knobs.fail_message)

    def _generate(
        self,
        model: Model,
        request: GenerationRequest,
        disconnected: Disconnected,
        times: tuple[float, float],
    ) -> Iterator[Chunk]:
        pieces, reason = tokens(self._text(request), request.options)
        with self._counted():
            token_s, spent_s = self.token_s(model), 0.0
            wait(self.knobs.prompt_s, disconnected)
            if model.spec.thinks and request.think is not False:
                yield Chunk(thinking="Let me look at the colour.")
            begun = time.monotonic()
            for index, piece in enumerate(pieces):
                spent_s += token_s * (self.active if self.knobs.contention else 1)
                due = begun + spent_s if self.knobs.token_s else 0
                wait(due - time.monotonic(), disconnected)
                yield Chunk(thinking=piece) if self.knobs.in_thinking else Chunk(piece)
                if not index:
                    self._fail_midway(disconnected)
            with self.changed:
                self.answered += 1
                model.slow.answers += 1
                model.cpu.answers += 1
        prompt = len(request.prompt.split()) + TOKENS_PER_IMAGE * len(request.images)
        started, loaded = times
        metrics = {
            "total_duration": time.monotonic() - started,
            "load_duration": max(loaded - started, 1e-6),
            "prompt_eval_duration": max(self.knobs.prompt_s, 1e-6),
            # As configured, not as measured, so that speeds are exact also on a busy machine.
            "eval_duration": spent_s or token_s,
        }
        counts = {"prompt_eval_count": prompt, "eval_count": max(len(pieces), 1)}
        nanoseconds = {name: round(seconds * 1e9) for name, seconds in metrics.items()}
        yield Chunk(done_reason=reason, metrics={**nanoseconds, **counts})

    def _text(self, request: GenerationRequest) -> str:
        if self.applies("empty_next"):
            return ""
        if self.applies("odd_next"):
            return self.knobs.odd
        return BROKEN if self.applies("broken_next") else compose(request, self.knobs)

    def _fail_midway(self, disconnected: Disconnected) -> None:
        if self.knobs.fail_at == "stream" and self.applies("fail_next"):
            raise self.failure()
        if self.applies("cut_next"):
            raise ConnectionCut
        if self.applies("malformed_next"):
            raise Malformed
        if self.knobs.hang_at == "stream" and self.applies("hang_next"):
            wait(math.inf, disconnected)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self.changed:
            self.active += 1
            self.most_active = max(self.most_active, self.active)
        try:
            yield
        finally:
            with self.changed:
                self.active -= 1
