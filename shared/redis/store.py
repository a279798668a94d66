"""What API and workers tell each other through Redis beside the queue.

====================================  ========================================================
``vision:image:<unique>:<n>``         encoded image, read by the worker, deleted when answered
``vision:cancelled:<task id>``             nobody waits for this task any more: do not run it
``vision:lease:<task id>``            ``worker|delivery tag`` of the worker that holds the task;
                                      ``|time`` when a worker has put it back on the queue
``vision:worker:<worker>``            heartbeat: :class:`WorkerStatus` as JSON, a few seconds
``vision:workers:<model>``            set of the workers that ever beat for the model
``vision:part:<task id>``             list: parts of a reply that Ollama is still making
``vision:ollama``                     :class:`OllamaSnapshot` as JSON: what Ollama's servers have
``vision:claim:<what>``               some worker does this now, or did it lately
``vision:seen:<model>``               a worker was here lately: wait for it, it may be restarting
====================================  ========================================================
"""

import json
import time
import uuid
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import redis
from pydantic import BaseModel, Field
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.catalog import ModelSpec
from shared.vocabulary import WorkerState

HEARTBEAT_TTL_S = 4
LEASE_TTL_S = 3
REQUEUE_S = 2.0
"""How long Celery may take to put a task back on the queue."""
REQUEUED_TTL_S = 10
"""Longer than the API takes to look."""
SPARE_TTL_S = 60
"""How much longer than its request's deadline anything of a request may stay in Redis."""
SNAPSHOT_TTL_S = 30
ENQUEUED_AT = "enq"
"""Message header: when the API published, seconds since the epoch."""

# Where is my task? Its lease, whether the lease's holder beats, queue length, oldest message.
# O(1): the queue is a list with the oldest message at its end.
_LOCATE = """
local lease = redis.call('GET', KEYS[1]) or ''
local worker = string.match(lease, '^[^|]*')
local alive = 0
if lease ~= '' then alive = redis.call('EXISTS', 'vision:worker:' .. worker) end
return {lease, alive, redis.call('LLEN', KEYS[2]), redis.call('LINDEX', KEYS[2], -1) or ''}
"""


class OllamaHost(BaseModel):
    """One Ollama server, as a worker knows it."""

    url: str
    up: bool
    error: str = ""
    parallel: int = Field(description="requests it gets at once")
    running: int = 0
    models: tuple[str, ...] = ()
    gpu_share: dict[str, float] = Field({}, description="of loaded models: memory on the GPU")
    tokens_per_s: dict[str, float] = Field({}, description="by model: median of the last answers")
    best_tokens_per_s: dict[str, float] = Field(
        {}, description="by model: the best it has been with as many requests at once"
    )
    load_s: dict[str, float] = Field({}, description="by model: seconds the last load took")
    failing: tuple[str, ...] = Field((), description="models that failed; others are asked first")
    healing: tuple[str, ...] = Field((), description="models that are being loaded anew")
    degraded: dict[str, str] = Field({}, description="models that stay slow, and why")
    heals: dict[str, int] = Field({}, description="attempts to heal, by outcome")


class OllamaSnapshot(BaseModel):
    """What all reachable Ollama servers have, for the front door; entries are Ollama's own."""

    tags: tuple[dict[str, Any], ...] = ()
    ps: tuple[dict[str, Any], ...] = ()
    version: str = Field("", description="the oldest of those that answer; empty: none was told")


class EngineStatus(BaseModel):
    """What a worker's engine does and has done since it started."""

    state: WorkerState = WorkerState.LOADING
    reason: str = Field("", description="details of the state, for a person")
    model_pid: int = Field(0, description="process id of the model; 0: none")
    max_batch: int = Field(1, description="most images a batch; halved when memory ran out")
    images: int = 0
    images_per_s: float = Field(0.0, description="over the last minute")
    batches: dict[int, int] = Field({}, description="number of batches by number of jobs in them")
    memory_mb: int = Field(0, description="of the model process: on its GPU, or resident")
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


class Presence(NamedTuple):
    """Who serves a model, and how much waits for them."""

    workers: tuple[WorkerStatus, ...]
    seen: bool
    queued: int


class TaskLocation(NamedTuple):
    """Where a published task is."""

    delivery_tag: str
    held: bool
    holder_alive: bool
    maybe_queued: bool
    queued_at: float
    """When it was put on the queue for the last time, in seconds since the epoch."""


def connect(url: str) -> "redis.Redis":
    """Return a client that fails at once instead of retrying: its callers hold a request."""
    return redis.Redis.from_url(
        url, socket_connect_timeout=1, socket_timeout=5, retry=Retry(NoBackoff(), 0)
    )


class Store:
    """Reads and writes the keys above; raises ``redis.RedisError`` when Redis does not answer."""

    def __init__(self, client: "redis.Redis") -> None:
        self._redis = client
        self._locate = client.register_script(_LOCATE)

    def ping(self) -> None:
        """Raise unless Redis answers."""
        self._redis.ping()

    def put_images(self, keys: Sequence[str], images: Sequence[bytes], ttl_s: float) -> None:
        """Store the encoded images of a request until it is answered or ``ttl_s`` is over."""
        with self._redis.pipeline(transaction=False) as pipe:
            for key, image in zip(keys, images, strict=True):
                pipe.set(key, image, ex=int(ttl_s) + SPARE_TTL_S)
            pipe.execute()

    def get_images(self, keys: Sequence[str]) -> list[bytes] | None:
        """Return the encoded images, or ``None`` when their request is over and they are gone."""
        images: list[Any] = self._redis.mget(list(keys))
        return None if None in images else images

    def drop_images(self, keys: Sequence[str]) -> None:
        """Delete the images of an answered request."""
        self._redis.delete(*keys)

    def push_part(self, task_id: str, part: dict[str, Any]) -> None:
        """Pass on a part of a reply that is still being made."""
        key = f"vision:part:{task_id}"
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.rpush(key, json.dumps(part))
            pipe.expire(key, SPARE_TTL_S)
            pipe.execute()

    def next_part(self, task_id: str, timeout_s: float) -> dict[str, Any] | None:
        """Wait for the next part of a reply; ``None``: none came in time."""
        popped: Any = self._redis.blpop([f"vision:part:{task_id}"], timeout=timeout_s)
        return None if popped is None else dict(json.loads(popped[1]))

    def put_snapshot(self, snapshot: OllamaSnapshot) -> None:
        """Say what Ollama's servers have."""
        self._redis.set("vision:ollama", snapshot.model_dump_json(), ex=SNAPSHOT_TTL_S)

    def snapshot(self) -> OllamaSnapshot:
        """Return what Ollama's servers have; nothing when no worker looks at them."""
        value: Any = self._redis.get("vision:ollama")
        return OllamaSnapshot.model_validate_json(value) if value else OllamaSnapshot()

    def claim(self, what: str, seconds: float) -> bool:
        """Say whether the caller may do something that nobody else has claimed lately."""
        return bool(self._redis.set(f"vision:claim:{what}", 1, nx=True, px=int(seconds * 1000)))

    def cancel(self, task_id: str, ttl_s: float) -> None:
        """Say that nobody waits for this task."""
        self._redis.set(f"vision:cancelled:{task_id}", 1, ex=int(ttl_s) + SPARE_TTL_S)

    def cancelled_among(self, task_ids: Sequence[str]) -> set[str]:
        """Return those of some tasks whose clients have gone."""
        marks: list[Any] = self._redis.mget([f"vision:cancelled:{task_id}" for task_id in task_ids])
        return {task_id for task_id, mark in zip(task_ids, marks, strict=True) if mark}

    def beat(self, status: WorkerStatus, leases: Iterable[tuple[str, str]], seen_s: int) -> None:
        """Write a worker's heartbeat and renew the leases ``(task id, delivery tag)`` it holds."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.sadd(f"vision:workers:{status.model}", status.worker)
            pipe.set(f"vision:seen:{status.model}", 1, ex=seen_s)
            pipe.set(f"vision:worker:{status.worker}", status.model_dump_json(), ex=HEARTBEAT_TTL_S)
            for task_id, tag in leases:
                pipe.set(f"vision:lease:{task_id}", f"{status.worker}|{tag}", ex=LEASE_TTL_S)
            pipe.execute()

    def lease(self, worker: str, task_id: str, tag: str) -> None:
        """Say that ``worker`` holds the task, before its next heartbeat says so."""
        self._redis.set(f"vision:lease:{task_id}", f"{worker}|{tag}", ex=LEASE_TTL_S)

    def requeue(self, task_id: str) -> None:
        """Give up the lease of a task that goes back on the queue, behind all that wait there."""
        back_at = time.time() + REQUEUE_S
        self._redis.set(f"vision:lease:{task_id}", f"|{back_at}", ex=REQUEUED_TTL_S)

    def leave(self, worker: str, model: str) -> None:
        """Take a worker that stops off the list; ``seen`` stays, another may be starting."""
        self._redis.delete(f"vision:worker:{worker}")
        self._redis.srem(f"vision:workers:{model}", worker)

    def presence(self, spec: ModelSpec) -> Presence:
        """Return who serves the model now; forgets workers whose heartbeat ended."""
        members = f"vision:workers:{spec.queue_owner}"
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.smembers(members)
            pipe.exists(f"vision:seen:{spec.queue_owner}")
            pipe.llen(spec.queue)
            names, seen, queued = pipe.execute()
        names = sorted(name.decode() for name in names)
        beats: list[Any] = self._redis.mget([f"vision:worker:{n}" for n in names]) if names else []
        dead = [name for name, beat in zip(names, beats, strict=True) if beat is None]
        if dead:
            self._redis.srem(members, *dead)
        workers = tuple(WorkerStatus.model_validate_json(beat) for beat in beats if beat)
        return Presence(workers, bool(seen), int(queued))

    def is_served(self, spec: ModelSpec, besides: str) -> bool:
        """Say whether a worker other than ``besides`` has the model ready.

        While Redis is away there is none: it could not be told either.
        """
        try:
            workers = self.presence(spec).workers
        except redis.RedisError:
            return False
        return any(worker.state.is_up for worker in workers if worker.worker != besides)

    def locate(self, task_id: str, queue: str, enqueued_at: float) -> TaskLocation:
        """Find a published task: held by a worker, perhaps still queued, or lost.

        ``maybe_queued`` compares the oldest message's age with the task's, for the queue is
        first in, first out: while an older message waits, this one does too. A message that was
        handed back is as new as its return.
        """
        lease, alive, queued, oldest = self._locate(keys=[f"vision:lease:{task_id}", queue])
        holder, _, tag = lease.decode().partition("|")
        if lease and not holder:
            enqueued_at, tag = float(tag), ""
        maybe_queued = False
        if queued:
            try:
                oldest_at = float(json.loads(oldest)["headers"][ENQUEUED_AT])
                maybe_queued = oldest_at <= enqueued_at
            except (ValueError, KeyError, TypeError):
                maybe_queued = True  # not published by us: cannot tell, so keep waiting
        return TaskLocation(tag, bool(holder), bool(alive), maybe_queued, enqueued_at)

    def forget_delivery(self, task_id: str, tag: str) -> None:
        """Remove a dead worker's unacknowledged message, so that it is not delivered again."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.delete(f"vision:lease:{task_id}")
            if tag:
                pipe.hdel("unacked", tag)
                pipe.zrem("unacked_index", tag)
            pipe.execute()


def new_image_keys(count: int) -> tuple[str, ...]:
    """Return fresh keys for the images of a job; clients may reuse request ids, these are ours."""
    unique = uuid.uuid4()
    return tuple(f"vision:image:{unique}:{n}" for n in range(count))
