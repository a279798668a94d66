"""What is in memory: installed models, their slots, load and unload, and how they decline."""

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.ollama_standin.knobs import Cure, Knobs, Spec
from tests.ollama_standin.request_parsing import Refused

POLL_S = 0.02
Gone = Callable[[], bool]
"""Says whether the client has closed its connection."""


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


@dataclass
class Decline:
    """Something that befalls a model after some answers, until it is cured."""

    answers: int = 0
    ill: bool = False
    had: bool = False

    def is_ill(self, after: int | None) -> bool:
        if after is not None and self.answers >= after and not self.had:
            self.ill = self.had = True
        return self.ill

    def treat(self, *, relapse: bool) -> None:
        self.ill = False
        if relapse:
            self.answers, self.had = 0, False


@dataclass
class Model:
    """An installed model and its state in memory."""

    name: str
    spec: Spec
    loaded: bool = False
    loading: bool = False
    was_loaded: bool = False
    expires_at: float = math.inf
    unloading_until: float = 0.0
    unload_asked: bool = False
    active: int = 0
    waiting: deque[object] = field(default_factory=deque)
    slow: Decline = field(default_factory=Decline)
    cpu: Decline = field(default_factory=Decline)


def full_name(name: str) -> str:
    return (name if ":" in name.rpartition("/")[2] else f"{name}:latest").lower()


class Memory:
    """The models of one server; all state is guarded by ``changed``."""

    def __init__(self, models: Mapping[str, Spec] | Sequence[str], knobs: Knobs) -> None:
        specs = models if isinstance(models, Mapping) else {name: Spec() for name in models}
        self.knobs = knobs
        self.changed = threading.Condition(threading.RLock())
        self.models = {full_name(name): Model(full_name(name), s) for name, s in specs.items()}
        self.loads: Counter[str] = Counter()
        self.unloads: Counter[str] = Counter()

    def find(self, name: str) -> Model:
        model = self.models.get(full_name(name))
        if model is None:
            raise Refused(404, f"model '{name}' not found")
        return model

    def in_memory(self) -> list[Model]:
        """Return the models that /api/ps shows."""
        now = time.time()
        with self.changed:
            for model in self.models.values():
                if model.loaded and not model.active and model.expires_at <= now:
                    self._drop(model)
            return [m for m in self.models.values() if m.loaded or m.unloading_until > now]

    def vram_share(self, model: Model) -> float:
        with self.changed:
            return 0.0 if model.cpu.is_ill(self.knobs.cpu_after) else self.knobs.gpu_share

    def install(self, name: str, spec: Spec | None = None) -> None:
        """Add a model, as ``ollama pull`` does."""
        with self.changed:
            self.models[full_name(name)] = Model(full_name(name), spec or Spec())

    def remove(self, name: str) -> None:
        """Remove a model, as ``ollama rm`` does."""
        with self.changed:
            del self.models[full_name(name)]

    def forget(self) -> None:
        """Lose what a server process has in memory, and what a restart cures."""
        with self.changed:
            for model in self.models.values():
                model.loaded = model.loading = model.unload_asked = model.was_loaded = False
                model.unloading_until = 0.0
                self._treat(model, "restart")

    @contextmanager
    def slot(self, model: Model, keep_alive: float, gone: Gone) -> Iterator[None]:
        """Wait in line for one of the model's slots, hold it."""
        ticket = object()
        with self.changed:
            if len(model.waiting) >= self.knobs.max_queue:
                raise Refused(
                    503, "server busy, please try again.  maximum pending requests exceeded"
                )
            model.waiting.append(ticket)
            try:
                while not self._is_next(model, ticket):
                    self.changed.wait(POLL_S)
                    if gone():
                        raise ClientGone
                self.in_memory()  # drops what has expired
                model.active += 1
            finally:
                model.waiting.remove(ticket)
                self.changed.notify_all()
        try:
            yield
        finally:
            with self.changed:
                model.active -= 1
                model.expires_at = time.time() + keep_alive
                if keep_alive == 0 or model.unload_asked:
                    self.unload(model)
                self.changed.notify_all()

    def _is_next(self, model: Model, ticket: object) -> bool:
        return (
            model.waiting[0] is ticket
            and model.active < self.knobs.parallel
            and model.unloading_until <= time.time()
        )

    def load(self, model: Model, gone: Gone) -> bool:
        """Load the model unless it is; one thread does, the others wait. Whether that worked."""
        with self.changed:
            while model.loading:
                self.changed.wait(POLL_S)
                if gone():
                    raise ClientGone
            if model.loaded:
                return True
            if self.knobs.reload_fails and model.was_loaded:
                return False
            model.loading = model.was_loaded = True
            self.loads[model.name] += 1
        try:
            wait(self.knobs.load_s, gone)
            with self.changed:
                model.loaded = True
                model.expires_at = math.inf
        finally:
            with self.changed:
                model.loading = False
                self.changed.notify_all()
        return True

    def unload(self, model: Model) -> None:
        """Drop the model, or have the last of its generations do it."""
        with self.changed:
            model.unload_asked = model.active > 0
            if model.loaded and not model.active:
                self._drop(model)

    def _drop(self, model: Model) -> None:
        model.loaded = model.unload_asked = False
        model.unloading_until = time.time() + self.knobs.unload_s
        self.unloads[model.name] += 1
        self._treat(model, "reload")

    def _treat(self, model: Model, how: Cure) -> None:
        for decline, cure in ((model.slow, self.knobs.slow_cure), (model.cpu, self.knobs.cpu_cure)):
            if cure in ("reload", how):
                decline.treat(relapse=self.knobs.relapse)

    def token_s(self, model: Model) -> float:
        """Return the time of a token now; never 0, so that speeds can be told."""
        knobs = self.knobs
        with self.changed:
            slower = knobs.slow_factor if model.slow.is_ill(knobs.slow_after) else 1.0
            slower *= knobs.cpu_factor if model.cpu.is_ill(knobs.cpu_after) else 1.0
        return (knobs.token_s or 1e-6) * slower


def wait(seconds: float, gone: Gone) -> None:
    """Sleep, but not for a client that has left."""
    deadline = time.monotonic() + seconds
    while True:
        if gone():
            raise ClientGone
        left = deadline - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, POLL_S))
