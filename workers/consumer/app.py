"""Assembles a worker: Celery in front of an engine, heartbeat, metrics, commands."""

import gc
import os
import socket
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import redis
import structlog
from celery import Celery, signals
from celery.worker.control import control_command

from shared.catalog import Catalog
from shared.celery_app import make_celery
from shared.families import OLLAMA
from shared.log import configure_logging
from shared.messages import command_name
from shared.model_spec import ModelSpec
from shared.redis import deadline
from shared.redis.connection import connect
from shared.redis.deadline import redis_within
from shared.redis.faults import describe
from shared.redis.store import Store
from shared.settings import Settings
from shared.tracing import start_tracing
from shared.vocabulary import OperatorCommand, Priority
from workers.consumer import kombu_guard
from workers.consumer.bulk import BulkLane, TwoLaneConsumer
from workers.consumer.carrier import Carrier
from workers.consumer.delivery import JobPool
from workers.consumer.heartbeat import Heartbeat, queue_of
from workers.consumer.metrics import WorkerMetrics
from workers.consumer.stopping import Stopping
from workers.consumer.tasks import register_tasks
from workers.engine.interface import Engine
from workers.engine.job import FindCancelled
from workers.engine.local import LocalEngine
from workers.remote.engine import RemoteEngine

log = structlog.get_logger(__name__)

CANCELLED_S = 0.5
"""How long a look-up of cancelled tasks may take; there is another one soon."""


def serve(settings: Settings, catalog: Catalog, spec: ModelSpec) -> None:
    """Serve a model until SIGTERM.

    Args:
        settings: of this process.
        catalog: all models.
        spec: the row whose worker this is.
    """
    configure_logging(settings, "worker", model=spec.name)
    start_tracing("worker")
    kombu_guard.install()
    deadline.install()
    app = make_celery(settings, worker=True)
    app.conf.worker_pool = f"{JobPool.__module__}:{JobPool.__name__}"
    app.conf.worker_consumer = f"{TwoLaneConsumer.__module__}:{TwoLaneConsumer.__name__}"
    app.steps["consumer"].add(BulkLane)
    name = f"{spec.name}-{os.getpid()}@{socket.gethostname()}"
    store = Store(connect(settings.broker_url))
    engine: Engine
    if spec.family == OLLAMA:
        engine = RemoteEngine(settings, catalog, spec, store)
    else:
        engine = LocalEngine(settings, spec, cancellations_in(store))
    _connect(app, settings, spec, Worker(name, store, engine))
    # Celery's command line would do the same, and import all commands, Flower's too: 13 MB.
    worker = app.Worker(
        queues=spec.queue,
        concurrency=engine.concurrency,
        hostname=name,
        without_gossip=True,
        without_mingle=True,
        loglevel=settings.log_level,
        quiet=True,
    )
    worker.start()
    sys.exit(worker.exitcode)


class Worker(NamedTuple):
    """What is connected to Celery."""

    name: str
    store: Store
    engine: Engine


def _connect(app: Celery, settings: Settings, spec: ModelSpec, worker: Worker) -> None:
    name, store, engine = worker
    heartbeat = Heartbeat(
        store,
        spec,
        name,
        lambda: engine.status,
        lambda: engine.concurrency,
        settings.restart_grace_s,
    )
    metrics = WorkerMetrics(spec.name, lambda: heartbeat.status)
    engine.on_batch = metrics.batch_done
    served_elsewhere = partial(store.presence.is_served, spec, besides=name)
    stopping = Stopping()
    register_tasks(app)
    BulkLane.persons, BulkLane.queue = spec.queue, spec.queue_of(Priority.BULK)
    BulkLane.most = lambda: engine.concurrency
    TwoLaneConsumer.refusal = heartbeat.refusal
    JobPool.carrier = Carrier(store, engine, served_elsewhere, heartbeat.in_hand, stopping)
    _register_commands(engine)

    @signals.worker_init.connect(weak=False)
    def start(**_: Any) -> None:  # noqa: ANN401 - Celery's signature, here and below
        engine.start()
        heartbeat.start()
        metrics.serve(settings.host, settings.metrics_port)

    @signals.worker_shutting_down.connect(weak=False)
    def drain(**_: Any) -> None:  # noqa: ANN401
        stopping.begin()
        heartbeat.drain()
        engine.drain()

    @signals.worker_shutdown.connect(weak=False)
    def stop(**_: Any) -> None:  # noqa: ANN401
        heartbeat.stop()
        engine.close()
        log.info("worker stopped")

    _follow_consumer(heartbeat, spec, name)


def _follow_consumer(heartbeat: Heartbeat, spec: ModelSpec, name: str) -> None:
    """Let the heartbeat know what Celery's consumer does, and decide when it consumes."""

    @signals.setup_logging.connect(weak=False)
    def keep_our_logging(**_: Any) -> None:  # noqa: ANN401
        """Keep Celery from configuring logging, which it leaves to whoever listens here."""

    @signals.celeryd_after_setup.connect(weak=False)
    def wait_for_model(sender: Any, instance: Any, **_: Any) -> None:  # noqa: ANN401
        """Take nothing off the queue until the heartbeat finds that the model is up."""
        del sender
        instance.app.amqp.queues.deselect(spec.queue)
        # What is loaded stays. To look through all of it for garbage stops all threads each time.
        gc.collect()
        gc.freeze()

    @signals.worker_ready.connect(weak=False)
    def consuming(sender: Any, **_: Any) -> None:  # noqa: ANN401
        heartbeat.consuming(sender)
        log.info("worker started", queue=spec.queue, worker=name)

    @signals.task_received.connect(weak=False)
    def received(request: Any, **_: Any) -> None:  # noqa: ANN401
        heartbeat.received(queue_of(request))


def _register_commands(engine: Engine) -> None:
    """Register the commands that operators give through Celery's remote control."""

    @control_command(name=command_name(OperatorCommand.RECYCLE))
    def recycle(_: Any) -> dict[str, str]:  # noqa: ANN401 - Celery's signature
        """Replace the model process."""
        engine.recycle()
        return {"ok": "recycle"}

    @control_command(name=command_name(OperatorCommand.UNLOAD))
    def unload(_: Any) -> dict[str, str]:  # noqa: ANN401
        """End the model process until the next request."""
        engine.unload()
        return {"ok": "unload"}


def cancellations_in(store: Store) -> FindCancelled:
    """Return a look-up of cancelled tasks in Redis; while Redis does not serve, it finds none."""

    def cancelled_among(task_ids: Sequence[str]) -> set[str]:
        try:
            with redis_within(CANCELLED_S):
                return store.cancellations.among(task_ids)
        except redis.RedisError as err:
            log.warning("cannot look up cancelled tasks", error=describe(err))
            return set()

    return cancelled_among
