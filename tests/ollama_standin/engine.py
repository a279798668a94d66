"""The server without HTTP: generation, failures, and records of what came."""

import math
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.ollama_standin.answers import BROKEN, compose, tokens
from tests.ollama_standin.knobs import Knobs, Spec
from tests.ollama_standin.memory import Gone, Memory, Model, wait
from tests.ollama_standin.request_parsing import Ask, Refused

TOKENS_OF_AN_IMAGE = 256


class Cut(Exception):
    """The knob ``cut_next`` wants the connection broken."""


@dataclass
class Chunk:
    """A piece of an answer; the last one has a reason and the counts."""

    response: str = ""
    thinking: str = ""
    done_reason: str = ""
    metrics: dict[str, int] = field(default_factory=dict)


@dataclass
class Recorded:
    """A request as it came; ``body`` has a count where the images were."""

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
        """Whether it asks for an answer, not just for a load or an unload."""
        return bool(self.body and (self.body.get("prompt") or self.body.get("messages")))


class Engine(Memory):
    """What an Ollama server does with a request."""

    def __init__(self, models: Mapping[str, Spec] | Sequence[str], knobs: Knobs) -> None:
        super().__init__(models, knobs)
        self.requests: list[Recorded] = []
        self.answered = self.aborted = 0
        self.active = self.most_active = self.in_flight = self.most_in_flight = 0

    def generates(self) -> list[Recorded]:
        """Return the requests that asked for an answer, in order of arrival."""
        return [request for request in self.requests if request.generates]

    def take(self, knob: str) -> bool:
        """Use up one of a ``…_next`` knob; whether it applies."""
        with self.changed:
            left: int = getattr(self.knobs, knob)
            if left > 0:
                setattr(self.knobs, knob, left - 1)
            return left != 0

    def run(self, ask: Ask, gone: Gone) -> Generator[Chunk]:
        """Yield the answer. What is refused before the first piece is refused with a status."""
        started = time.monotonic()
        model = self.find(ask.model)
        if ask.think and not model.spec.thinks:
            raise Refused(400, f'"{ask.model}" does not support thinking')
        if self.knobs.one_image and len(ask.images) > 1:
            raise Refused(400, "this model only supports one image: more than one image sent")
        if ask.is_empty and ask.keep_alive == 0:
            self.unload(model)
            yield Chunk(done_reason="unload")
            return
        if self.knobs.fail_at == "headers" and self.take("fail_next"):
            raise self.failure()
        with self.slot(model, ask.keep_alive, gone):
            if not self.load(model, gone):
                raise self.failure()
            loaded = time.monotonic()
            if self.knobs.hang_at == "headers" and self.take("hang_next"):
                wait(math.inf, gone)
            if ask.is_empty:
                yield Chunk(done_reason="load")
                return
            yield from self._generate(model, ask, gone, (started, loaded))

    def failure(self) -> Refused:
        message = "llama runner process has terminated: exit status 2"
        return Refused(self.knobs.fail_status, message)

    def _generate(
        self, model: Model, ask: Ask, gone: Gone, times: tuple[float, float]
    ) -> Iterator[Chunk]:
        pieces, reason = tokens(self._text(ask), ask.options)
        with self._counted():
            token_s, spent_s = self.token_s(model), 0.0
            wait(self.knobs.prompt_s, gone)
            if model.spec.thinks and ask.think is not False:
                yield Chunk(thinking="Let me look at the colour.")
            begun = time.monotonic()
            for index, piece in enumerate(pieces):
                spent_s += token_s * (self.active if self.knobs.crowded else 1)
                due = begun + spent_s if self.knobs.token_s else 0
                wait(due - time.monotonic(), gone)
                yield Chunk(thinking=piece) if self.knobs.in_thinking else Chunk(piece)
                if not index:
                    self._misbehave_midway(gone)
            with self.changed:
                self.answered += 1
                model.slow.answers += 1
                model.cpu.answers += 1
        prompt = len(ask.prompt.split()) + TOKENS_OF_AN_IMAGE * len(ask.images)
        started, loaded = times
        metrics = {
            "total_duration": time.monotonic() - started,
            "load_duration": max(loaded - started, 1e-6),
            "prompt_eval_duration": max(self.knobs.prompt_s, 1e-6),
            # As configured, not as measured: speeds stay exact on a machine that is busy.
            "eval_duration": spent_s or token_s,
        }
        counts = {"prompt_eval_count": prompt, "eval_count": max(len(pieces), 1)}
        nanoseconds = {name: round(seconds * 1e9) for name, seconds in metrics.items()}
        yield Chunk(done_reason=reason, metrics={**nanoseconds, **counts})

    def _text(self, ask: Ask) -> str:
        if self.take("empty_next"):
            return ""
        return BROKEN if self.take("broken_next") else compose(ask, self.knobs)

    def _misbehave_midway(self, gone: Gone) -> None:
        if self.knobs.fail_at == "stream" and self.take("fail_next"):
            raise self.failure()
        if self.take("cut_next"):
            raise Cut
        if self.knobs.hang_at == "stream" and self.take("hang_next"):
            wait(math.inf, gone)

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
