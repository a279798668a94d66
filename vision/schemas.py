"""What the service says of its models, as far as the commands use it.

Fields that are not known here are ignored, and missing ones are empty: the service may be newer, or
older.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

DOWN = ("loading", "downloading", "failed")
"""States of a worker that answers no requests: those that are not ``WorkerState.is_up``."""
BASE_TASKS = ("caption", "labels", "nsfw")
"""What can be asked about a photo without a question of one's own."""
OLLAMA = "ollama"
"""Name of the family of models on Ollama servers, and of the row whose workers call these."""


class Said(BaseModel):
    """An object in a reply."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Worker(Said):
    """One worker's heartbeat; units are in the names."""

    worker: str
    state: str
    reason: str = ""
    consuming: bool = False
    held: int = 0
    max_batch: int = 1
    images: int = 0
    images_per_s: float = 0.0
    device: str = ""
    acceleration: str = ""
    utilisation: float = 0.0
    queue_ms: float = 0.0
    prepare_ms: float = 0.0
    predict_ms: float = 0.0
    memory_mb: int = 0
    memory_peak_mb: int = 0
    memory_limit_mb: int = 0
    card: str = ""
    card_energy_j: float = 0.0
    loads: int = 0
    recycles: dict[str, int] = {}
    last_error: str = ""
    beat_at: float = 0.0
    hosts: tuple[dict[str, Any], ...] = ()

    @property
    def is_up(self) -> bool:
        """Whether it answers requests now."""
        return self.consuming and self.state not in DOWN


class Model(Said):
    """One model of the catalogue, and the workers that serve it now."""

    name: str
    tasks: tuple[str, ...]
    version: str = ""
    family: str = ""
    aliases: tuple[str, ...] = ()
    default_for: tuple[str, ...] = ()
    nsfw_threshold: float | None = None
    queued: int = 0
    queued_bulk: int = 0
    served: bool = False
    workers: tuple[Worker, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether there are workers of it, be it that they load it only now."""
        return self.served or bool(self.workers)

    @property
    def queue(self) -> str:
        """How many requests wait, and how many of them are bulk work, if any are."""
        return f"{self.queued} ({self.queued_bulk} bulk)" if self.queued_bulk else str(self.queued)

    @property
    def names(self) -> tuple[str, ...]:
        """All names by which a request may call it."""
        return (self.name, *self.aliases)


class Run(BaseModel):
    """A run of bulk work, as whoever drives it says."""

    name: str
    state: str
    total: int
    done: int
    failed: int = 0
    per_hour: float | None = None
    left_s: float | None = None
    is_silent: bool = False

    @property
    def is_under_way(self) -> bool:
        """Whether it has not ended, as far as is known."""
        return self.state in ("running", "waiting")
