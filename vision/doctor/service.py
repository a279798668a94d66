"""Checks of what the service says of itself: Redis, clocks, models, workers, devices, servers."""

import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from vision.doctor.findings import Finding, Findings, doubtful, good, wrong
from vision.schemas import Model, Worker
from vision.service import BASE, Service, ServiceError, is_loopback
from vision.tables import device, megabytes

SKEW_S = 5.0
"""How far clocks may be apart: an older heartbeat than that is not listed any more."""
FULL = 0.92
"""Share of a device's memory above which the next larger batch will not fit."""
OLDEST = {"redis": 6, "valkey": 7}
"""Major versions that have the commands used here."""
REDIS = "Redis"


def check_service(service: Service) -> Findings:
    """Check the service, as far as it can be reached and says.

    Raises:
        ServiceError: it cannot be reached at all.
    """
    models = service.models()
    yield good("API", f"Vision Workers answers at {service.url}.")
    yield from _check_setup(service)
    yield from _check_models(models, service.not_ready())
    for model in models:
        for worker in model.workers:
            yield from check_worker(worker)


def _check_setup(service: Service) -> Findings:
    before = time.time()
    try:
        said = service.get(f"{BASE}/setup")
    except ServiceError as err:
        if err.status == 404:
            advice = "Update the service; this command is newer."
        else:
            advice = "Give an operator key (--key or VISION_API_KEY), or run this on its machine."
        yield doubtful(REDIS, f"The service does not say: {err}", advice)
        return
    yield from check_redis(said["redis"])
    yield _clock("this machine", (before + time.time()) / 2, float(said["time"]))
    if not said["has_api_keys"] and not is_loopback(service.url):
        yield doubtful(
            "Keys",
            f"Anyone who reaches {urlsplit(service.url).netloc} may use the service.",
            "Set VISION_API_KEYS if strangers can reach it.",
        )


def check_redis(said: dict[str, Any]) -> Findings:
    """Check what the service says of Redis."""
    product, version = said["product"], said["version"]
    name = f"{product.capitalize()} {version or '(of an unknown version)'}"
    major = version.partition(".")[0]
    if major.isdecimal() and int(major) < OLDEST.get(product, 0):
        yield wrong(REDIS, f"{name} is too old.", f"Use version {OLDEST[product]} or newer.")
    else:
        yield good(REDIS, f"{name} answers.")
    if refuses := said.get("refuses"):
        yield wrong(
            REDIS, refuses, "Correct that, or name a Redis that accepts writes in VISION_REDIS_URL."
        )
    policy = said.get("eviction_policy")
    if policy not in (None, "noeviction"):
        yield wrong(
            REDIS,
            f"Its eviction policy is {policy}, so it may drop photos that somebody waits for.",
            "Set maxmemory-policy to noeviction: redis-cli CONFIG SET maxmemory-policy noeviction",
        )
    if most := said.get("most_sent_mb"):
        yield doubtful(
            REDIS,
            f"It closes a connection that has over {megabytes(most)} to send, as with photos.",
            "Remove the limit: redis-cli CONFIG SET client-output-buffer-limit 'normal 0 0 0'",
        )
    yield from _check_memory(said.get("memory_mb"), said.get("memory_limit_mb"))
    if said.get("saves_snapshots") or said.get("saves_log"):
        yield doubtful(
            REDIS,
            "It writes its data to disk, so photos of requests in progress are written there too.",
            'Set `save ""` and `appendonly no`: nothing in it needs to survive.',
        )
    elif said.get("saves_snapshots") is not None:
        yield good(REDIS, "It writes nothing to disk.")


def _check_memory(used: float | None, limit: float | None) -> Findings:
    if used is None or limit is None:
        return
    if not limit:
        yield doubtful(
            REDIS,
            f"It uses {megabytes(used)} and has no limit.",
            "Set maxmemory, for example to 512mb, or many large photos fill the machine's memory.",
        )
    elif used > limit / 2:
        yield doubtful(
            REDIS,
            f"It uses {megabytes(used)} of {megabytes(limit)}; over half, requests get 429.",
            "Raise maxmemory, or find out what else uses it.",
        )
    else:
        yield good(REDIS, f"It uses {megabytes(used)} of {megabytes(limit)}.")


def _clock(whose: str, there: float, here: float) -> Finding:
    seconds = there - here
    if abs(seconds) > SKEW_S:
        return wrong(
            "Clock",
            f"The clock of {whose} is {abs(seconds):.0f} s "
            f"{'ahead of' if seconds > 0 else 'behind'} that of the API.",
            "Have NTP set both clocks: deadlines of requests are times of day.",
        )
    return good("Clock", f"The clock of {whose} agrees with that of the API.")


def _check_models(models: Sequence[Model], missing: dict[str, str]) -> Findings:
    for name, reason in missing.items():
        yield wrong("Models", f"{name} does not serve: {reason.rstrip('.')}.", _advice(reason))
    serving = [model for model in models if model.served]
    if not serving:
        yield wrong("Models", "No model serves.", "Start workers: `make run`, or `vision logs`.")
    for model in serving:
        defaults = f", by default for {', '.join(model.default_for)}" if model.default_for else ""
        yield good(
            "Models",
            f"{model.name} does {', '.join(model.tasks)}{defaults}; waiting: {model.queue}.",
        )


def _advice(reason: str) -> str:
    if reason == "no worker":
        return (
            "Start its worker, or take it out of VISION_MODELS; `vision logs` shows why it ended."
        )
    if reason.startswith(("loading", "downloading")):
        return "Wait; `vision top` shows the progress."
    return "The reason says what to do; `vision logs` has the rest."


def check_worker(worker: Worker) -> Findings:
    """Check a worker: its clock, its state, its memory, its servers."""
    if worker.beat_at:
        age = time.time() - worker.beat_at
        if not -SKEW_S < age < 2 * SKEW_S:
            yield _clock(worker.worker, worker.beat_at, time.time())
    if worker.state == "failed":
        yield wrong("Workers", f"{worker.worker} has failed: {worker.reason}", _advice(""))
    elif worker.state == "degraded":
        yield doubtful(
            "Workers", f"{worker.worker} is degraded: {worker.reason}.", "`vision logs` has more."
        )
    elif worker.is_up:
        yield good("Workers", f"{worker.worker} is {worker.state} on {device(worker) or '?'}.")
    if worker.last_error and worker.state != "failed":
        yield doubtful(
            "Workers",
            f"The last error of {worker.worker}: {worker.last_error}",
            "`vision logs` has more.",
        )
    yield from _check_device(worker)
    for host in worker.hosts:
        yield from _check_host(host)


def _check_device(worker: Worker) -> Findings:
    peak, limit = max(worker.memory_peak_mb, worker.memory_mb), worker.memory_limit_mb
    if not limit:
        return
    text = f"{worker.worker} has needed {megabytes(peak)} of {megabytes(limit)}"
    if peak > FULL * limit:
        yield doubtful(
            "Memory",
            f"{text}.",
            "Choose a smaller model or `max_batch`, or take other models off this device.",
        )
    else:
        yield good("Memory", f"{text}.")


def _check_host(host: dict[str, Any]) -> Findings:
    url = host["url"]
    if not host["up"]:
        yield wrong(
            "Ollama",
            f"{url} does not answer: {host.get('error') or 'no answer'}.",
            "Start Ollama there, and have it listen: OLLAMA_HOST=0.0.0.0 ollama serve",
        )
        return
    names = ", ".join(host.get("models", ())) or "none"
    yield good("Ollama", f"{url} is up; its models: {names}.")
    for name, share in host.get("gpu_share", {}).items():
        if share < 1:
            yield doubtful(
                "Ollama",
                f"Only {share:.0%} of {name} on {url} is on the GPU, so it is slow.",
                "Free some memory of that GPU, or choose a smaller model.",
            )
    for name, reason in host.get("degraded", {}).items():
        yield doubtful("Ollama", f"{name} on {url} stays slow: {reason}.", "Restart Ollama there.")
