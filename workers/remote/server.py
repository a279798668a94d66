"""One Ollama server: what it has, how fast it is, and what it failed at lately."""

import asyncio
import time
from collections import Counter
from typing import Any, NamedTuple

from shared.messages import JsonObject
from shared.redis.ollama import OllamaHost
from workers.remote.client import Client
from workers.remote.config import Healing, HostRow
from workers.remote.meters import Crowd, Pace

LONGEST_REST = 10
"""How many times the first rest the longest is."""
RUNNER_OPTIONS = (
    "num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread", "low_vram",
)  # fmt: skip
"""Options that Ollama loads a model with: asked for others, it loads the model anew."""


def full_name(model: str) -> str:
    """Return a model's name with its tag, in lower case: so Ollama tells names apart."""
    return (model if ":" in model.rpartition("/")[2] else f"{model}:latest").lower()


class _Rest(NamedTuple):
    """After failures."""

    failures: int
    until: float


class Host:
    """One server, as far as we know."""

    def __init__(self, row: HostRow, healing: Healing) -> None:
        self.row, self.client, self._healing_options = row, Client(row), healing
        self.up, self.asked, self.error = False, False, ""
        self.up_at = time.monotonic()
        self.version = ""
        self.tags: list[JsonObject] = []
        self.ps: list[JsonObject] = []
        self.running: Counter[str] = Counter()
        self.crowd = Crowd()
        self.healing: set[str] = set()
        self.degraded: dict[str, str] = {}
        self.heals: Counter[str] = Counter()
        self._paces: dict[str, Pace] = {}
        self._rests: dict[str, _Rest] = {}
        self._manners: dict[str, JsonObject] = {}

    @property
    def name(self) -> str:
        """Its address, which logs and operators know it by."""
        return self.row.url

    def has(self, model: str) -> bool:
        """Say whether the model is installed there."""
        return any(full_name(str(tag.get("name"))) == model for tag in self.tags)

    def gpu_share(self, model: str) -> float | None:
        """Return which share of the model's memory is on the GPU; ``None``: it is not loaded."""
        for entry in self.ps:
            if full_name(str(entry.get("name"))) == model and entry.get("size"):
                return float(entry.get("size_vram") or 0) / float(entry["size"])
        return None

    def pace(self, model: str) -> Pace:
        """Return the watch over a model's speed."""
        return self._paces.setdefault(model, Pace(self._healing_options))

    def take(self, model: str) -> None:
        """Take a place for a request."""
        self.running[model] += 1
        self.crowd.change(1)

    def give_back(self, model: str) -> None:
        """Give a place back."""
        self.running[model] -= 1
        self.crowd.change(-1)

    def failed(self, model: str, first_s: float) -> None:
        """Let the model rest: for ``first_s``, and longer with each failure in a row."""
        failures = self._rests[model].failures if model in self._rests else 0
        rest_s = first_s * min(2**failures, LONGEST_REST)
        self._rests[model] = _Rest(failures + 1, time.monotonic() + rest_s)

    def answered(self, model: str) -> None:
        """Take note that the model does not fail."""
        self._rests.pop(model, None)

    def rests(self, model: str) -> bool:
        """Say whether the model failed lately, and others should be asked."""
        return model in self._rests and time.monotonic() < self._rests[model].until

    def renew(self) -> None:
        """Forget what was wrong: the server has been started anew."""
        self.degraded.clear()
        self._rests.clear()
        for pace in self._paces.values():
            pace.forget()

    def remember(self, model: str, body: JsonObject) -> None:
        """Keep what a request says of how the model is loaded, and for how long.

        One without a prompt only has it loaded or unloaded, and says nothing of use.
        """
        if not (body.get("prompt") or body.get("messages")):
            return
        options: dict[str, Any] = body.get("options") or {}
        kept = {name: options[name] for name in RUNNER_OPTIONS if name in options}
        self._manners[model] = {"options": kept}
        if body.get("keep_alive") is not None:
            self._manners[model]["keep_alive"] = body["keep_alive"]

    def manners(self, model: str) -> JsonObject:
        """Return ``options`` and ``keep_alive`` that the model was last asked with here."""
        return self._manners.get(model, {"options": {}})

    async def look(self) -> None:
        """Ask the server what it has and what is loaded.

        Raises:
            HostError: it does not say.
        """
        tags, ps = await asyncio.gather(self.client.get("/api/tags"), self.client.get("/api/ps"))
        self.tags, self.ps = tags.get("models") or [], ps.get("models") or []
        if not self.version:
            self.version = str((await self.client.get("/api/version")).get("version", ""))

    def status(self) -> OllamaHost:
        """Return what operators see."""
        paces = self._paces.items()
        return OllamaHost(
            url=self.name,
            up=self.up,
            error=self.error,
            parallel=self.row.parallel,
            running=self.running.total(),
            models=tuple(sorted(str(tag.get("name")) for tag in self.tags)),
            gpu_share={
                str(entry.get("name")): round(self.gpu_share(full_name(str(entry["name"]))) or 0, 2)
                for entry in self.ps
                if entry.get("name")
            },
            tokens_per_s={model: round(pace.now, 1) for model, pace in paces},
            best_tokens_per_s={model: round(pace.best, 1) for model, pace in paces},
            load_s={model: round(pace.load_s, 2) for model, pace in paces if pace.load_s},
            failing=tuple(sorted(model for model in self._rests if self.rests(model))),
            healing=tuple(sorted(self.healing)),
            degraded=dict(self.degraded),
            heals=dict(self.heals),
        )
