"""Which workers serve which model, and what they are doing."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import redis
from pydantic import BaseModel, Field, model_validator

from shared.model_spec import ModelSpec
from shared.redis.connection import SCAN_COUNT
from shared.redis.leases import LEASE_TTL_S, write_lease
from shared.redis.ollama import OllamaHost
from shared.vocabulary import Priority, WorkerState

HEARTBEAT_TTL_S = 4
PATTERNS_OF_WORKERS = 1
"""Patterns to which workers subscribe, all to the same one: that of Celery's commands."""


class EngineStatus(BaseModel):
    """State of a worker's engine, and its counts since it started."""

    state: WorkerState = WorkerState.LOADING
    reason: str = Field("", description="details of the state, for a person")
    model_pid: int = Field(0, description="process id of the model; 0: none")
    max_batch: int = Field(1, description="most images in a batch now")
    max_batch_reason: str = Field("", description="why it is so many, for a person")
    max_batch_cause: str = Field("", description="the same in a word")
    images: int = 0
    images_per_s: float = Field(0.0, description="over the last minute")
    batches: dict[int, int] = Field({}, description="number of batches by number of jobs in them")
    device: str = Field("", description="name of the model's device; empty: not known yet")
    acceleration: str = Field(
        "", description="how the model is accelerated on its device, or why not"
    )
    utilisation: float = Field(0.0, description="share of the last minute that the model computed")
    queue_ms: float = Field(0.0, description="mean wait of a job in the engine, last minute")
    prepare_ms: float = Field(0.0, description="mean time to prepare one image, last minute")
    predict_ms: float = Field(0.0, description="mean time of a job's batch, last minute")
    job_seconds: dict[str, float] = Field(
        {}, description="seconds that all jobs spent in the engine, by phase"
    )
    memory_mb: int = Field(0, description="of the model process: on its GPU, or resident")
    memory_peak_mb: int = Field(
        0, description="most that it needed at a time: during the last batch on a GPU, else ever"
    )
    memory_limit_mb: int = Field(
        0, description="memory that there is for it and others: of the GPU, container or host"
    )
    card: str = Field("", description="UUID of its GPU, if that tells its energy")
    card_energy_j: float = Field(
        0.0, description="joules of the whole GPU since its driver was loaded, at the last batch"
    )
    load_s: float = Field(0.0, description="seconds the last load took")
    loads: int = Field(0, description="model processes that were loaded")
    recycles: dict[str, int] = Field({}, description="replaced model processes by reason")
    last_error: str = ""
    hosts: tuple[OllamaHost, ...] = ()


class WorkerStatus(EngineStatus):
    """One worker's heartbeat."""

    worker: str
    model: str
    held: int = Field(0, description="requests it has taken and not answered")
    consuming: bool = Field(default=False, description="takes requests from its queue")
    started_at: float
    beat_at: float = Field(0.0, description="when it sent this, by its own clock; 0: not known")

    @model_validator(mode="before")
    @classmethod
    def _in_words_known_here(cls, beat: Any) -> Any:  # noqa: ANN401 - what the worker sent
        """Take a state of a newer version for what comes of it: whether it takes requests."""
        if isinstance(beat, dict) and beat.get("state", "loading") not in tuple(WorkerState):
            known = WorkerState.READY if beat.get("consuming") else WorkerState.LOADING
            return {**beat, "state": known}
        return beat


class Presence(NamedTuple):
    """The workers of a model, and the lengths of its queues."""

    workers: tuple[WorkerStatus, ...]
    seen: bool
    """Whether it had a worker lately, which may be restarting."""
    queued: int
    """Requests of persons that wait for a worker."""
    queued_bulk: int = 0
    """Requests of bulk work that wait for a worker."""
    watched: bool = False
    """Whether anybody, such as Flower, receives Celery's events."""

    def waiting(self, priority: Priority) -> int:
        """Return how many requests of a priority wait for a worker."""
        return self.queued if priority is Priority.PERSON else self.queued_bulk


class Presences:
    """Heartbeats of workers.

    ``vision:worker:<worker>`` is a :class:`WorkerStatus` as JSON, for :data:`HEARTBEAT_TTL_S`;
    ``vision:alive:<worker>`` lives for :data:`LEASE_TTL_S`, so that a worker that stands still for
    a moment keeps its tasks;
    ``vision:workers:<model>`` is the set of all workers that sent a heartbeat for the model;
    ``vision:seen:<model>`` exists while the last heartbeat is recent.
    """

    def __init__(self, client: "redis.Redis") -> None:
        self._redis = client

    def beat(self, status: WorkerStatus, held: Iterable[str], seen_s: int) -> bool:
        """Write a worker's heartbeat, and take or renew the leases of the tasks that it holds.

        Returns whether anybody, such as Flower, receives Celery's events.
        """
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.sadd(f"vision:workers:{status.model}", status.worker)
            pipe.set(f"vision:seen:{status.model}", 1, ex=seen_s)
            pipe.set(f"vision:alive:{status.worker}", 1, ex=LEASE_TTL_S)
            pipe.set(f"vision:worker:{status.worker}", status.model_dump_json(), ex=HEARTBEAT_TTL_S)
            for task_id in held:
                write_lease(pipe, status.worker, task_id)
            pipe.pubsub_numpat()
            return bool(pipe.execute()[-1] > PATTERNS_OF_WORKERS)

    def leave(self, worker: str, model: str) -> None:
        """Remove a worker that stops; ``seen`` stays, as another may be starting.

        Tasks that it still holds are lost at once.
        """
        self._redis.delete(f"vision:worker:{worker}", f"vision:alive:{worker}")
        self._redis.srem(f"vision:workers:{model}", worker)

    def silences(self) -> dict[str, float]:
        """Return seconds since the last heartbeat of each worker, for :data:`LEASE_TTL_S`."""
        prefix = "vision:alive:"
        keys = list(self._redis.scan_iter(f"{prefix}*", count=SCAN_COUNT))
        with self._redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.pttl(key)
            left_ms = pipe.execute()
        names = [key.decode().removeprefix(prefix) for key in keys]
        lived = zip(names, left_ms, strict=True)
        return {name: LEASE_TTL_S - ms / 1000 for name, ms in lived if ms > 0}

    def of(self, spec: ModelSpec) -> Presence:
        """Return the presence of a model; removes workers whose heartbeat has expired."""
        members = f"vision:workers:{spec.queue_owner}"
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.smembers(members)
            pipe.exists(f"vision:seen:{spec.queue_owner}")
            pipe.llen(spec.queue)
            pipe.llen(spec.queue_of(Priority.BULK))
            pipe.pubsub_numpat()
            names, seen, queued, bulk, patterns = pipe.execute()
        names = sorted(name.decode() for name in names)
        beats: list[Any] = self._redis.mget([f"vision:worker:{n}" for n in names]) if names else []
        dead = [name for name, beat in zip(names, beats, strict=True) if beat is None]
        if dead:
            self._redis.srem(members, *dead)
        workers = tuple(WorkerStatus.model_validate_json(beat) for beat in beats if beat)
        watched = patterns > PATTERNS_OF_WORKERS
        return Presence(workers, bool(seen), int(queued), int(bulk), watched)

    def is_served(self, spec: ModelSpec, besides: str) -> bool:
        """Return whether a worker other than ``besides`` has the model ready.

        Without Redis there is none: no task could reach it.
        """
        try:
            workers = self.of(spec).workers
        except redis.RedisError:
            return False
        return any(worker.state.is_up for worker in workers if worker.worker != besides)
