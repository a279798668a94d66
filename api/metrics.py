"""Metrics that the API exports to Prometheus: requests, and each model's queue and workers.

Each process counts its requests. Several gunicorn processes keep their counts in files of one
folder (``api/gunicorn_conf.py``), and the process that is scraped adds them up: prometheus_client's
multiprocess mode. Queues and workers are read from Redis at each scrape.

Label values come from the catalogue and from closed sets only: each new value is a new time series.
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
from shared.vocabulary import Priority

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client's variable for the folder; if it is not set, there is only one process."""
NONE = "none"
"""Label value of requests that were refused before their model and task were known."""
COUNTED_STATUSES = {
    HTTPStatus.GATEWAY_TIMEOUT: ("vision_timeouts", "Requests without a result in time (504)."),
    HTTPStatus.TOO_MANY_REQUESTS: (
        "vision_rejected",
        "Requests refused because the model's queue, or this API, was full (429).",
    ),
    CLIENT_CLOSED_REQUEST: (
        "vision_client_aborts",
        "Requests whose client closed the connection before the reply.",
    ),
}
"""Statuses that have a counter of their own: its name and help text."""
REQUEST_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
"""Upper bounds of the histogram: from a classifier on a GPU to PhotoPrism's own time limit."""


class Metrics:
    """The metrics of one application; can be used by several threads."""

    def __init__(self, catalog: Catalog, slots: int, queues: "QueueCollector") -> None:
        """Create the metrics.

        Args:
            catalog: the models that can be label values.
            slots: how many requests this process handles at once.
            queues: reads queues and workers from Redis at each scrape.
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
            ["model", "task"], buckets=REQUEST_BUCKETS_S, registry=registry,
        )  # fmt: skip
        self.in_flight = Gauge(
            "vision_requests_in_flight", "Vision requests under way in all API processes.",
            ["priority"], registry=registry, multiprocess_mode="livesum",
        )  # fmt: skip
        self.waiting = Gauge(
            "vision_api_waiting", "Vision requests that wait for a slot in all API processes.",
            ["priority"], registry=registry, multiprocess_mode="livesum",
        )  # fmt: skip
        Gauge(
            "vision_request_slots", "Vision requests of a priority that may be under way at once.",
            registry=registry, multiprocess_mode="livesum",
        ).set(slots)  # fmt: skip
        names = [NONE, *(spec.name for spec in catalog.models)]
        self._names = set(names)
        self._by_status = {
            status: _by_model(registry, names, name, text)
            for status, (name, text) in COUNTED_STATUSES.items()
        }
        self._lost = _by_model(
            registry, names[1:], "vision_lost_tasks",
            "Tasks whose worker died or left; each is published again, at most twice.",
        )  # fmt: skip

    def count_request(self, plan: Sequence[Assignment], status: int, seconds: float) -> None:
        """Count a request that has been answered.

        Args:
            plan: its models and tasks; empty if it was refused before they were known.
            status: the HTTP status of its reply.
            seconds: how long it took.
        """
        labels = [
            (self._label(spec), str(task)) for spec, tasks in plan for task in tasks or (NONE,)
        ]
        for model, task in labels or [(NONE, NONE)]:
            self._requests.labels(model, task, str(status)).inc()
            if status == HTTPStatus.OK:
                self._seconds.labels(model, task).observe(seconds)
        if counter := self._by_status.get(status):
            for model in {model for model, _ in labels} or {NONE}:
                counter.labels(model).inc()

    def count_lost_task(self, spec: ModelSpec) -> None:
        """Count a task whose worker died or left."""
        self._lost.labels(self._label(spec)).inc()

    def _label(self, spec: ModelSpec) -> str:
        """Return the row's name, or ``ollama`` for models that only Ollama knows.

        Their names come from clients, and must not become label values.
        """
        return spec.name if spec.name in self._names else spec.queue_owner

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics as text in a format that ``accept`` names, and its content type."""
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # it compares a version that is no number with numbers
            encode, content_type = choose_encoder("")
        registry = self._registry
        if FOLDER_VARIABLE in os.environ:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            registry.register(self._queues)
        return encode(registry), content_type


class QueueCollector(Collector):
    """Reads the length of each model's queue and its workers from Redis at each scrape."""

    def __init__(
        self, catalog: Catalog, enabled: Iterable[str], presence: Callable[[ModelSpec], Presence]
    ) -> None:
        """Create the collector.

        Args:
            catalog: the models to look up.
            enabled: names of models that are exported even when no worker serves them.
            presence: reads a model's workers and queue from Redis.
        """
        self._catalog, self._presence = catalog, presence
        self._enabled = {catalog.get(name).queue_owner for name in enabled}

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the metrics, or only that Redis does not answer."""
        queued = _gauge("vision_queue_length", "Requests waiting for a worker.", "priority")
        workers = _gauge("vision_workers", "Workers of the model with a heartbeat.")
        up = _gauge("vision_workers_up", "Workers that have the model ready.")
        try:
            for spec in self._catalog.models:
                if spec.queue_owner != spec.name:
                    continue  # all of Ollama's models share one queue
                presence = self._presence(spec)
                waiting = {each: presence.waiting(each) for each in Priority}
                if not (spec.name in self._enabled or presence.workers or any(waiting.values())):
                    continue
                for priority, count in waiting.items():
                    queued.add_metric([spec.name, priority], count)
                workers.add_metric([spec.name], len(presence.workers))
                up.add_metric([spec.name], sum(w.state.is_up for w in presence.workers))
        except redis.RedisError:
            return [_redis_up(answers=False)]
        return [_redis_up(answers=True), queued, workers, up]


def _gauge(name: str, description: str, *more: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, description, labels=["model", *more])


def _redis_up(*, answers: bool) -> GaugeMetricFamily:
    return GaugeMetricFamily("vision_redis_up", "Whether Redis answers the API.", value=answers)


def _by_model(
    registry: CollectorRegistry, models: Iterable[str], name: str, description: str
) -> Counter:
    counter = Counter(name, description, ["model"], registry=registry)
    for model in models:
        counter.labels(model)  # starts at zero, so that the first event is an increase
    return counter
