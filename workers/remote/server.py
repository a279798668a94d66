"""One Ollama server: what it has, how fast it is, and what has failed on it."""

import asyncio
import time
from collections import Counter
from typing import NamedTuple
from urllib.parse import urlsplit

from shared.messages import JsonObject
from shared.redis.ollama import OllamaHost
from workers.remote.client import OllamaClient, entry_name, gpu_share, load_options
from workers.remote.config import HealingOptions, ServerConfig
from workers.remote.meters import ConcurrencyMeter, ThroughputMeter

MAX_COOLDOWN_FACTOR = 10
"""The longest cooldown is this many times the first."""


class _Cooldown(NamedTuple):
    """A model is avoided on a server where it has failed."""

    failures: int
    until: float
    """On the monotonic clock."""


class Server:
    """What this worker knows of one server; used in one event loop.

    Models are named by their full names, as :func:`~workers.remote.config.full_name` returns them.
    """

    def __init__(self, config: ServerConfig, healing: HealingOptions) -> None:
        self.config, self.client, self._healing_options = config, OllamaClient(config), healing
        self.polled, self.up, self.error = False, False, ""
        self.last_up_at = time.monotonic()
        self.version = ""
        self.installed: list[JsonObject] = []
        self.loaded: list[JsonObject] = []
        self.running: Counter[str] = Counter()
        """Number of running requests by model."""
        self.concurrency = ConcurrencyMeter()
        self.healing: set[str] = set()
        """Models that are being reloaded and get no requests."""
        self.degraded: dict[str, str] = {}
        """Models that are slow, and why."""
        self.heals: Counter[str] = Counter()
        """Number of attempts to heal a model by outcome."""
        self._throughput: dict[str, ThroughputMeter] = {}
        self._cooldowns: dict[str, _Cooldown] = {}
        self._load_options: dict[str, JsonObject] = {}

    @property
    def name(self) -> str:
        """Its URL without a password, by which logs, replies and operators name it."""
        url = urlsplit(self.config.url)
        return url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()

    def has(self, model: str) -> bool:
        """Return whether the model is installed."""
        return any(entry_name(entry) == model for entry in self.installed)

    def spelling(self, model: str) -> str:
        """Return the model's name as the server lists it: not every server ignores case."""
        names = (str(entry["name"]) for entry in self.installed if entry_name(entry) == model)
        return next(names, model)

    def gpu_share(self, model: str) -> float | None:
        """Return the fraction of the model's memory on the GPU; ``None``: it is not loaded."""
        shares = (gpu_share(entry) for entry in self.loaded if entry_name(entry) == model)
        return next((share for share in shares if share is not None), None)

    def throughput(self, model: str) -> ThroughputMeter:
        """Return the meter of the model's speed."""
        return self._throughput.setdefault(model, ThroughputMeter(self._healing_options))

    def begin_request(self, model: str) -> None:
        """Count a request as running."""
        self.running[model] += 1
        self.concurrency.change(1)

    def end_request(self, model: str) -> None:
        """Count a request as finished."""
        self.running[model] -= 1
        self.concurrency.change(-1)

    def begin_cooldown(self, model: str, first_s: float) -> None:
        """Avoid the model for ``first_s`` seconds, and longer with each failure in a row."""
        failures = self._cooldowns[model].failures if model in self._cooldowns else 0
        seconds = first_s * min(2**failures, MAX_COOLDOWN_FACTOR)
        self._cooldowns[model] = _Cooldown(failures + 1, time.monotonic() + seconds)

    def end_cooldown(self, model: str) -> None:
        """Use the model again, because it has answered."""
        self._cooldowns.pop(model, None)

    def is_cooling_down(self, model: str) -> bool:
        """Return whether the model failed recently, so that other servers come first."""
        return model in self._cooldowns and time.monotonic() < self._cooldowns[model].until

    def reset_faults(self) -> None:
        """Forget which models were slow or failed, because the server has been restarted."""
        self.degraded.clear()
        self._cooldowns.clear()
        for meter in self._throughput.values():
            meter.reset()

    def remember_load_options(self, model: str, body: JsonObject) -> None:
        """Keep what a request has the model loaded with."""
        options = load_options(body)
        if options is not None:
            self._load_options[model] = options

    def load_options(self, model: str) -> JsonObject:
        """Return ``options`` and ``keep_alive`` of the latest request for the model."""
        return self._load_options.get(model, {"options": {}})

    async def refresh(self) -> None:
        """Ask the server which models are installed and loaded.

        Raises:
            ServerError: it does not answer, or with an error.
        """
        self.installed, self.loaded = await asyncio.gather(
            self.client.installed_models(), self.client.loaded_models()
        )
        if not self.version:
            self.version = await self.client.version()

    def status(self) -> OllamaHost:
        """Return what operators see."""
        meters = self._throughput.items()
        return OllamaHost(
            url=self.name,
            up=self.up,
            error=self.error,
            parallel=self.config.parallel,
            running=self.running.total(),
            models=tuple(sorted(str(entry.get("name")) for entry in self.installed)),
            gpu_share={
                str(entry["name"]): round(self.gpu_share(entry_name(entry)) or 0, 2)
                for entry in self.loaded
                if entry.get("name")
            },
            tokens_per_s={model: round(meter.current, 1) for model, meter in meters},
            best_tokens_per_s={model: round(meter.best, 1) for model, meter in meters},
            load_s={model: round(meter.load_s, 2) for model, meter in meters if meter.load_s},
            failing=tuple(
                sorted(model for model in self._cooldowns if self.is_cooling_down(model))
            ),
            healing=tuple(sorted(self.healing)),
            degraded=dict(self.degraded),
            heals=dict(self.heals),
        )
