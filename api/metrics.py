"""What Prometheus is told of the API: its requests, and each model's queue and workers.

Requests are counted by each process. Several gunicorn processes keep their numbers in files of one
folder (``api/gunicorn_conf.py``), and whichever is asked adds up all: prometheus_client's
multiprocess mode. Queues and workers are read from Redis when Prometheus asks.

Labels have values of the catalogue and of closed sets only: each new value is a new time series.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus

import redis
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, multiprocess
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from api.http.error_handlers import CLIENT_CLOSED_REQUEST
from shared.catalog import Assignment, Catalog
from shared.model_spec import ModelSpec
from shared.redis.presence import Presence

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client's variable: where processes share their numbers; not set: one process."""
NONE = "none"
"""Label of a request that was refused before it was known which model and task it is for."""
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
"""Upper bounds of the histogram: from a classifier on a GPU to PhotoPrism's own limit."""


class Metrics:
    """The numbers of one application; threads may share it."""

    def __init__(self, catalog: Catalog, slots: int, queues: "Queues") -> None:
        """Begin at zero.

        Args:
            catalog: whose models may be labels.
            slots: requests that this process works on at once.
            queues: what to read from Redis when Prometheus asks.
        """
        self._queues, self._registry = queues, CollectorRegistry()
        registry = self._registry
        registry.register(queues)
        self._requests = Counter(
            "vision_requests", "Vision requests by model, task and HTTP status; one for several "
            "tasks counts for each.", ["model", "task", "status"], registry=registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "vision_request_seconds", "Seconds from request to reply, of those with status 200.",
            ["model", "task"], buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.in_flight = Gauge(
            "vision_requests_in_flight", "Vision requests under way in all API processes.",
            registry=registry, multiprocess_mode="livesum",
        )  # fmt: skip
        Gauge(
            "vision_request_slots", "Vision requests that may be under way at once.",
            registry=registry, multiprocess_mode="livesum",
        ).set(slots)  # fmt: skip
        names = [NONE, *(spec.name for spec in catalog.models)]
        self._names = set(names)
        self._by_status = {
            HTTPStatus.GATEWAY_TIMEOUT: _by_model(
                registry, names, "vision_timeouts", "Requests without a result in time (504)."
            ),
            HTTPStatus.TOO_MANY_REQUESTS: _by_model(
                registry, names, "vision_rejected",
                "Requests refused because the model's queue, or this API, was full (429).",
            ),
            CLIENT_CLOSED_REQUEST: _by_model(
                registry, names, "vision_client_aborts", "Requests whose client hung up."
            ),
        }  # fmt: skip
        self._lost = _by_model(
            registry, names[1:], "vision_lost_tasks",
            "Tasks whose worker went away; each is sent again, at most twice.",
        )  # fmt: skip

    def answered(self, plan: Sequence[Assignment], status: int, seconds: float) -> None:
        """Count a request that is over; its plan is empty if it never got that far."""
        parts = [
            (self._label(spec), str(task)) for spec, tasks in plan for task in tasks or (NONE,)
        ]
        for model, task in parts or [(NONE, NONE)]:
            self._requests.labels(model, task, str(status)).inc()
            if status == HTTPStatus.OK:
                self._seconds.labels(model, task).observe(seconds)
        if counter := self._by_status.get(status):
            for model in {model for model, _ in parts} or {NONE}:
                counter.labels(model).inc()

    def lost(self, spec: ModelSpec) -> None:
        """Count a task whose worker went away."""
        self._lost.labels(self._label(spec)).inc()

    def _label(self, spec: ModelSpec) -> str:
        """Return the row's name; what clients call models that only Ollama knows is no label."""
        return spec.name if spec.name in self._names else spec.queue_owner

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return all numbers as text, in a format that ``accept`` names, and its content type."""
        encode, content_type = choose_encoder(accept)
        registry = self._registry
        if FOLDER in os.environ:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            registry.register(self._queues)
        return encode(registry), content_type


class Queues(Collector):
    """How many requests wait for each model and who serves it, read from Redis at each scrape."""

    def __init__(
        self, catalog: Catalog, enabled: Iterable[str], presence: Callable[[ModelSpec], Presence]
    ) -> None:
        """Prepare.

        Args:
            catalog: models to look for.
            enabled: names of those that are told of even when nobody serves them.
            presence: asks Redis.
        """
        self._catalog, self._presence = catalog, presence
        self._enabled = {catalog.get(name).queue_owner for name in enabled}

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Ask Redis; without it, say only that it does not answer."""
        queued = _gauge("vision_queue_length", "Requests waiting for a worker.")
        workers = _gauge("vision_workers", "Workers of the model with a heartbeat.")
        up = _gauge("vision_workers_up", "Workers that have the model ready.")
        try:
            for spec in self._catalog.models:
                if spec.queue_owner != spec.name:
                    continue  # all models of Ollama share one queue
                found = self._presence(spec)
                if not (spec.name in self._enabled or found.workers or found.queued):
                    continue
                queued.add_metric([spec.name], found.queued)
                workers.add_metric([spec.name], len(found.workers))
                up.add_metric([spec.name], sum(w.state.is_up for w in found.workers))
        except redis.RedisError:
            return [_redis_up(answers=False)]
        return [_redis_up(answers=True), queued, workers, up]


def _gauge(name: str, what: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, what, labels=["model"])


def _redis_up(*, answers: bool) -> GaugeMetricFamily:
    return GaugeMetricFamily("vision_redis_up", "Whether Redis answers the API.", value=answers)


def _by_model(registry: CollectorRegistry, models: Iterable[str], name: str, what: str) -> Counter:
    counter = Counter(name, what, ["model"], registry=registry)
    for model in models:
        counter.labels(model)  # at zero from the start, so that the first one is an increase
    return counter
