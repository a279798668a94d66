"""Metrics of a worker for Prometheus, on a port of their own.

They are read from the worker's status at each scrape. Only the durations of batches are counted
here: the engine reports each by one call.
"""

from collections.abc import Callable, Iterable, Sequence

import structlog
from prometheus_client import CollectorRegistry, Histogram, generate_latest, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from shared.messages import JobTimes
from shared.redis.ollama import OllamaHost
from shared.redis.presence import EngineStatus
from shared.units import MEGA
from shared.vocabulary import WorkerState
from workers.engine.climbing import SizeCause
from workers.engine.wear import RestartReason

log = structlog.get_logger(__name__)

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
"""Upper bounds of the buckets of batch durations, in seconds."""
JOBS = (1, 2, 4, 8, 16, 32, 64)
"""Upper bounds of the buckets of jobs per batch."""


class WorkerMetrics(Collector):
    """The metrics of one worker, all labelled with its model."""

    def __init__(self, model: str, status: Callable[[], EngineStatus]) -> None:
        self._model, self._status = model, status
        self._registry = CollectorRegistry()
        self._seconds = Histogram(
            "vision_worker_batch_seconds", "Seconds the model took for a batch.",
            ["model"], buckets=SECONDS, registry=self._registry,
        ).labels(model)  # fmt: skip
        self._registry.register(self)

    def serve(self, host: str, port: int) -> None:
        """Serve the metrics from a thread; port 0: do not. If the port is taken, go on without."""
        if not port:
            return
        try:
            start_http_server(port, host, self._registry)
        except OSError as err:
            log.error("cannot serve metrics", host=host, port=port, error=str(err))  # noqa: TRY400 - one line

    def exposition(self) -> bytes:
        """Return all metrics as text."""
        return generate_latest(self._registry)

    def batch_done(self, seconds: float) -> None:
        """Count a batch that took the model ``seconds``."""
        self._seconds.observe(seconds)

    def collect(self) -> Iterable[Metric]:
        """Read the worker's status."""
        status = self._status()
        yield self._gauge(
            "model_memory_bytes", "Memory of the model process.", MEGA * status.memory_mb
        )
        yield self._gauge(
            "model_memory_peak_bytes",
            "Most memory that it needed at a time: in the last batch on a GPU, else ever.",
            MEGA * status.memory_peak_mb,
        )
        yield self._gauge(
            "model_memory_limit_bytes",
            "Memory that there is for it and others.",
            MEGA * status.memory_limit_mb,
        )
        yield self._gauge(
            "utilisation", "Share of the last minute that the model computed.", status.utilisation
        )
        yield self._gauge(
            "prepare_seconds", "Mean time to prepare one image.", status.prepare_ms / 1000
        )
        yield self._device(status)
        yield self._job_seconds(status)
        yield self._gauge("batch_limit", "Most images in a batch now.", status.max_batch)
        yield self._batch_limit_cause(status)
        yield self._gauge("load_seconds", "Seconds the last load of the model took.", status.load_s)
        yield self._counter("loads", "Model processes that were loaded.", status.loads)
        yield self._counter("images", "Images answered.", status.images)
        yield self._states(status)
        yield self._recycles(status)
        yield self._batches(status)
        yield from _ollama(status.hosts)

    def _gauge(self, name: str, what: str, value: float) -> Metric:
        family = GaugeMetricFamily(f"vision_worker_{name}", what, labels=["model"])
        family.add_metric([self._model], value)
        return family

    def _counter(self, name: str, what: str, value: float) -> Metric:
        family = CounterMetricFamily(f"vision_worker_{name}", what, labels=["model"])
        family.add_metric([self._model], value)
        return family

    def _states(self, status: EngineStatus) -> Metric:
        what = "1 for the state that the worker is in, 0 for the others."
        family = GaugeMetricFamily("vision_worker_state", what, labels=["model", "state"])
        for state in WorkerState:
            family.add_metric([self._model, state], state == status.state)
        return family

    def _batch_limit_cause(self, status: EngineStatus) -> Metric:
        what = "1 for the reason why batches are as large as they are, 0 for the others."
        family = GaugeMetricFamily(
            "vision_worker_batch_limit_cause", what, labels=["model", "cause"]
        )
        for cause in SizeCause:
            family.add_metric([self._model, cause], cause == status.max_batch_cause)
        return family

    def _device(self, status: EngineStatus) -> Metric:
        what = "1, labelled with the model's device, and how the model is accelerated on it."
        labels = ["model", "device", "acceleration"]
        family = GaugeMetricFamily("vision_worker_device_info", what, labels=labels)
        family.add_metric([self._model, status.device, status.acceleration], 1)
        return family

    def _job_seconds(self, status: EngineStatus) -> Metric:
        what = "Seconds that jobs spent in the engine, by phase."
        family = CounterMetricFamily("vision_worker_job_seconds", what, labels=["model", "phase"])
        for phase in JobTimes._fields:
            family.add_metric([self._model, phase], status.job_seconds.get(phase, 0.0))
        return family

    def _recycles(self, status: EngineStatus) -> Metric:
        what = "Replaced model processes by reason."
        family = CounterMetricFamily("vision_worker_recycles", what, labels=["model", "reason"])
        # Each reason from the start, so that the first one is an increase.
        for reason in sorted({*RestartReason, *status.recycles}):
            family.add_metric([self._model, reason], status.recycles.get(reason, 0))
        return family

    def _batches(self, status: EngineStatus) -> Metric:
        """Make a histogram of the number of batches by how many jobs they had."""
        sizes = status.batches
        counts = [sum(n for jobs, n in sizes.items() if jobs <= bound) for bound in JOBS]
        family = HistogramMetricFamily(
            "vision_worker_batch_jobs", "Jobs that were run together in a batch.", labels=["model"]
        )
        family.add_metric(
            [self._model],
            [
                *((str(float(bound)), n) for bound, n in zip(JOBS, counts, strict=True)),
                ("+Inf", sum(sizes.values())),
            ],
            sum(jobs * n for jobs, n in sizes.items()),
        )
        return family


def _ollama(hosts: Sequence[OllamaHost]) -> Iterable[Metric]:
    """Return the metrics of each Ollama server; workers of other models have none."""
    up = GaugeMetricFamily(
        "vision_ollama_server_up", "Whether the Ollama server answers.", labels=["server"]
    )
    degraded = GaugeMetricFamily(
        "vision_ollama_degraded_models", "Models that stay slow there.", labels=["server"]
    )
    speed = GaugeMetricFamily(
        "vision_ollama_tokens_per_second",
        "Median speed of the last answers.",
        labels=["server", "model"],
    )
    load = GaugeMetricFamily(
        "vision_ollama_load_seconds",
        "Seconds the last load of a model took.",
        labels=["server", "model"],
    )
    heals = CounterMetricFamily(
        "vision_ollama_heals", "Attempts to heal a model.", labels=["server", "outcome"]
    )
    for host in hosts:
        up.add_metric([host.url], host.up)
        degraded.add_metric([host.url], len(host.degraded))
        for model, tokens_per_s in host.tokens_per_s.items():
            speed.add_metric([host.url, model], tokens_per_s)
        for model, seconds in host.load_s.items():
            load.add_metric([host.url, model], seconds)
        for outcome, count in host.heals.items():
            heals.add_metric([host.url, outcome], count)
    return up, degraded, speed, load, heals
