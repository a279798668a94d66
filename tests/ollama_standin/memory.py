"""Models of the server: their slots, how they are loaded and unloaded, and become slow."""

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.ollama_standin.knobs import Knobs, Spec, Until
from tests.ollama_standin.request_parsing import Refused

POLL_S = 0.02
Disconnected = Callable[[], bool]
"""Returns whether the client has closed its connection."""


class ClientDisconnected(Exception):
    """The client no longer waits for the answer."""


@dataclass
class Slowdown:
    """Happens to a model after some answers, and lasts until it is ended."""

    answers: int = 0
    active: bool = False
    happened: bool = False

    def is_active(self, after: int | None) -> bool:
        if after is not None and self.answers >= after and not self.happened:
            self.active = self.happened = True
        return self.active

    def end(self, *, recurs: bool) -> None:
        self.active = False
        if recurs:
            self.answers, self.happened = 0, False


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
    unload_requested: bool = False
    active: int = 0
    waiting: deque[object] = field(default_factory=deque)
    slow: Slowdown = field(default_factory=Slowdown)
    cpu: Slowdown = field(default_factory=Slowdown)


def tagged(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def full_name(name: str) -> str:
    return tagged(name).lower()


class Memory:
    """The models of one server; all state is guarded by ``changed``."""

    def __init__(self, models: Mapping[str, Spec] | Sequence[str], knobs: Knobs) -> None:
        specs = models if isinstance(models, Mapping) else {name: Spec() for name in models}
        self.knobs = knobs
        self.changed = threading.Condition(threading.RLock())
        self.models = {full_name(name): Model(tagged(name), s) for name, s in specs.items()}
        self.loads: Counter[str] = Counter()
        self.unloads: Counter[str] = Counter()

    def find(self, name: str) -> Model:
        model = self.models.get(full_name(name))
        wrong_case = model and self.knobs.case_sensitive and model.name != tagged(name)
        if model is None or wrong_case:
            raise Refused(404, f"model '{name}' not found")
        return model

    def loaded_models(self) -> list[Model]:
        """Return the models that /api/ps lists."""
        now = time.time()
        with self.changed:
            for model in self.models.values():
                if model.loaded and not model.active and model.expires_at <= now:
                    self._drop(model)
            return [m for m in self.models.values() if m.loaded or m.unloading_until > now]

    def gpu_share(self, model: Model) -> float:
        with self.changed:
            return 0.0 if model.cpu.is_active(self.knobs.cpu_after) else self.knobs.gpu_share

    def install(self, name: str, spec: Spec | None = None) -> None:
        """Add a model, as ``ollama pull`` does."""
        with self.changed:
            self.models[full_name(name)] = Model(tagged(name), spec or Spec())

    def remove(self, name: str) -> None:
        """Remove a model, as ``ollama rm`` does."""
        with self.changed:
            del self.models[full_name(name)]

    def reset(self) -> None:
        """Unload all models and end slowdowns, as a restart of the server does."""
        with self.changed:
            for model in self.models.values():
                model.loaded = model.loading = model.unload_requested = model.was_loaded = False
                model.unloading_until = 0.0
                self._end_slowdowns(model, "restart")

    @contextmanager
    def slot(self, model: Model, keep_alive: float, disconnected: Disconnected) -> Iterator[None]:
        """Wait in a queue for one of the model's slots, and hold it."""
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
                    if disconnected():
                        raise ClientDisconnected
                self.loaded_models()  # drops those that have expired
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
                if keep_alive == 0 or model.unload_requested:
                    self.unload(model)
                self.changed.notify_all()

    def _is_next(self, model: Model, ticket: object) -> bool:
        return (
            model.waiting[0] is ticket
            and model.active < self.knobs.parallel
            and model.unloading_until <= time.time()
        )

    def load(self, model: Model, disconnected: Disconnected) -> bool:
        """Load the model unless it is loaded; return whether that worked.

        One thread loads it, the others wait.
        """
        with self.changed:
            while model.loading:
                self.changed.wait(POLL_S)
                if disconnected():
                    raise ClientDisconnected
            if model.loaded:
                return True
            if self.knobs.reload_fails and model.was_loaded:
                return False
            model.loading = model.was_loaded = True
            self.loads[model.name] += 1
        try:
            wait(self.knobs.load_s, disconnected)
            with self.changed:
                model.loaded = True
                model.expires_at = math.inf
        finally:
            with self.changed:
                model.loading = False
                self.changed.notify_all()
        return True

    def unload(self, model: Model) -> None:
        """Drop the model now, or when the last of its generations ends."""
        with self.changed:
            model.unload_requested = model.active > 0
            if model.loaded and not model.active:
                self._drop(model)

    def _drop(self, model: Model) -> None:
        model.loaded = model.unload_requested = False
        model.unloading_until = time.time() + self.knobs.unload_s
        self.unloads[model.name] += 1
        self._end_slowdowns(model, "reload")

    def _end_slowdowns(self, model: Model, event: Until) -> None:
        knobs = self.knobs
        for slowdown, until in ((model.slow, knobs.slow_until), (model.cpu, knobs.cpu_until)):
            if until in ("reload", event):  # a restart reloads, too
                slowdown.end(recurs=knobs.recurs)

    def token_s(self, model: Model) -> float:
        """Return the current seconds per token; never 0, so that there is a speed."""
        knobs = self.knobs
        with self.changed:
            slower = knobs.slow_factor if model.slow.is_active(knobs.slow_after) else 1.0
            slower *= knobs.cpu_factor if model.cpu.is_active(knobs.cpu_after) else 1.0
        return (knobs.token_s or 1e-6) * slower


def wait(seconds: float, disconnected: Disconnected) -> None:
    """Sleep.

    Raises:
        ClientDisconnected: the client has closed its connection meanwhile.
    """
    deadline = time.monotonic() + seconds
    while True:
        if disconnected():
            raise ClientDisconnected
        left = deadline - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, POLL_S))
