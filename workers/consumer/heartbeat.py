"""The heartbeat, which tells the API who serves a model and holds which tasks; and the watchdog."""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import redis
import structlog
from celery.worker import state as celery_state

from shared.model_spec import ModelSpec
from shared.redis.deadline import redis_within
from shared.redis.faults import describe
from shared.redis.leases import STALL_S
from shared.redis.presence import EngineStatus, WorkerStatus
from shared.redis.store import Store
from shared.vocabulary import Priority, WorkerState
from workers.consumer.predecessors import sign_off_predecessors
from workers.consumer.refusal import Refusal

log = structlog.get_logger(__name__)

INTERVAL_S = 1.0
POLL_S = 0.1
"""How often the model is checked for having come up or gone down."""
STALLED_S = STALL_S
"""How long messages may wait while threads are free and nothing is received. After that, Celery has
lost its connection without noticing, as is known to happen after reconnects to Redis:
https://github.com/celery/celery/issues/8030, https://github.com/celery/celery/issues/10205."""
HELD_S = 30.0
"""How long a running task may be in nobody's hand, while Redis takes heartbeats: neither are its
images fetched, nor has the engine its job. Then only its result is stored; whatever keeps it there
keeps its slot for ever."""
SIGN_OFF_S = 1.0
"""How long a worker that ends waits for Redis to take it off the list."""
EXIT_STALLED = 70
"""``EX_SOFTWARE`` of ``<sysexits.h>``."""


def queue_of(request: Any) -> str:  # noqa: ANN401 - Celery is not typed
    """Return the queue off which Celery took a task."""
    return str(request.delivery_info["routing_key"])


class Heartbeat:
    """A thread that writes the worker's status and leases each second until stopped."""

    def __init__(
        self,
        store: Store,
        spec: ModelSpec,
        worker: str,
        status: Callable[[], EngineStatus],
        concurrency: Callable[[], int],
        seen_s: int,
    ) -> None:
        """Prepare.

        Args:
            store: Redis.
            spec: the model served.
            worker: unique name of this worker.
            status: returns the engine's status.
            concurrency: returns how many tasks this worker holds at most now.
            seen_s: how many seconds the API may wait for another worker after this one stops.
        """
        self._store, self._spec, self._worker = store, spec, worker
        self._status, self._concurrency, self._seen_s = status, concurrency, seen_s
        self._started_at = time.time()
        self._received_at: dict[str, float] = {}
        """When the last message came, by its queue."""
        self._stalled_since: dict[Priority, float] = {}
        self.in_hand: set[str] = set()
        """Ids of the tasks whose inputs are fetched, which ends with their deadlines, or whose jobs
        the engine has, and answers in time."""
        self.refusal = Refusal()
        """Why Celery takes no messages."""
        self._idle_since: dict[str, float] = {}
        self._consumer: Any = None
        self._stop = threading.Event()
        self._draining = self._took_over = False
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Start the heartbeat."""
        self._thread.start()

    def drain(self) -> None:
        """Expect no more requests; the heartbeat goes on while the last batch runs."""
        self._draining = True

    def stop(self) -> None:
        """Stop, and take the worker off the list of its model."""
        self._stop.set()
        self._thread.join()
        self._leave()

    def _leave(self) -> None:
        try:
            with redis_within(SIGN_OFF_S):  # so that others get its tasks at once
                self._store.presence.leave(self._worker, self._spec.name)
        except redis.RedisError as err:
            log.warning("could not sign off", error=describe(err))

    def consuming(self, consumer: Any) -> None:  # noqa: ANN401 - Celery is not typed
        """Remember Celery's consumer, which has started."""
        now = time.monotonic()
        self._received_at = {self._spec.queue_of(priority): now for priority in Priority}
        self._consumer = consumer

    def received(self, queue: str) -> None:
        """Note that a task has just been received; the next beat takes its lease."""
        self._received_at[queue] = time.monotonic()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if not self._took_over:
                    sign_off_predecessors(self._store, self._spec.name, self._worker, self._stop)
                    self._took_over = True
                requests = list(celery_state.reserved_requests)
                held = [str(request.id) for request in requests]
                watched = self._store.presence.beat(self._current(len(held)), held, self._seen_s)
                self._send_events(enabled=watched)
                if not self._draining:
                    self._match_prefetch()
                    self._match_consumer()
                    self._watch(Counter(map(queue_of, requests)))
                    self._watch_tasks()
            except redis.RedisError as err:
                self._stalled_since, self._idle_since = {}, {}
                log.warning("no heartbeat", error=describe(err))
            except Exception:  # without a heartbeat the worker is taken for dead: go on
                log.exception("bug in the heartbeat")
            self._pause()

    def _pause(self) -> None:
        """Wait for the next beat, which comes early when the model comes up or goes down."""
        before, until = self._service(), time.monotonic() + INTERVAL_S
        while time.monotonic() < until and self._service() == before:
            if self._stop.wait(POLL_S):
                return

    def _service(self) -> tuple[bool, bool]:
        """Return whether the model is up, and whether requests are taken."""
        return self._status().state.is_up, self._consumes()

    def _match_consumer(self) -> None:
        """Take requests only while the model is up, so that they go to replicas where it is.

        Celery itself is asked each time, because its remote control may lose a message.
        """
        if self._consumer is None or self._consumer.task_consumer is None:
            return
        wanted, queue = self._status().state.is_up, self._spec.queue
        if self._consumes() != wanted:
            control = self._consumer.app.control
            change = control.add_consumer if wanted else control.cancel_consumer
            change(queue, destination=[self._worker], reply=False)

    def _match_prefetch(self) -> None:
        """Have Celery hold as many tasks as the engine wants, whose batches may grow and shrink.

        It does what Celery's remote control ``pool_grow`` does, which cannot name a number.
        """
        consumer, wanted = self._consumer, self._concurrency()
        if consumer is None or consumer.qos is None or consumer.pool.limit == wanted:
            return
        more = wanted - consumer.pool.limit
        consumer.pool.limit = consumer.initial_prefetch_count = wanted
        if more > 0:
            consumer.qos.increment_eventually(more)
        else:
            consumer.qos.decrement_eventually(-more)

    def _send_events(self, *, enabled: bool) -> None:
        """Have Celery send an event for each change of a task, or none."""
        dispatcher = self._consumer and self._consumer.event_dispatcher
        if dispatcher and dispatcher.groups:
            (dispatcher.groups.add if enabled else dispatcher.groups.discard)("task")

    def _consumes(self) -> bool:
        """Return whether Celery takes messages off the queue now, and does not just reconnect."""
        consumer = self._consumer and self._consumer.task_consumer
        return bool(consumer and consumer.consuming_from(self._spec.queue))

    def _watch(self, held: Counter[str]) -> None:
        """Exit when messages wait and threads are free, yet nothing is received for a while.

        Args:
            held: how many tasks are held, by the queue off which they were taken.
        """
        now = time.monotonic()
        stalled = [priority for priority in Priority if self._is_stalled(priority, held)]
        self._stalled_since = {each: self._stalled_since.get(each, now) for each in stalled}
        if any(now - since > STALLED_S for since in self._stalled_since.values()):
            self._exit("messages wait but none is received")

    def _is_stalled(self, priority: Priority, held: Counter[str]) -> bool:
        queue = self._spec.queue_of(priority)
        return (
            self._consumer is not None
            and self._status().state.is_up
            and not str(self.refusal)  # which another process would get, too
            and held[queue] < self._concurrency()
            and time.monotonic() - self._received_at[queue] > INTERVAL_S
            and self._store.presence.of(self._spec).waiting(priority) > 0
        )

    def _watch_tasks(self) -> None:
        """Exit when a running task is in nobody's hand and does not come to its end."""
        now = time.monotonic()
        running = {str(request.id) for request in list(celery_state.active_requests)}
        idle = running - self.in_hand
        self._idle_since = {task: self._idle_since.get(task, now) for task in idle}
        if any(now - since > HELD_S for since in self._idle_since.values()):
            self._exit("a task is held without progress")

    def _exit(self, why: str) -> None:
        """End this process; the model process dies with us, and supervision starts us again."""
        log.critical("stalled; exiting", reason=why)
        self._leave()
        os._exit(EXIT_STALLED)

    @property
    def status(self) -> EngineStatus:
        """The engine's status, with the state that this worker has for those who ask it."""
        return self._judged(consuming=self._consumes())

    def _judged(self, *, consuming: bool) -> EngineStatus:
        status = self._status()
        # Who is up takes requests, but for one that ends and finishes what it holds.
        if not status.state.is_up or self._draining:
            return status
        if refusal := str(self.refusal):
            return status.model_copy(update={"state": WorkerState.FAILED, "reason": refusal})
        if not consuming:
            return status.model_copy(update={"state": WorkerState.LOADING, "reason": ""})
        return status

    def _current(self, held: int) -> WorkerStatus:
        consuming = self._consumes()
        return WorkerStatus(
            worker=self._worker,
            model=self._spec.name,
            held=held,
            consuming=consuming,
            started_at=self._started_at,
            beat_at=time.time(),
            **self._judged(consuming=consuming).model_dump(),
        )
