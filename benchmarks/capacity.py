"""Measure the capacity of one Redis: CPU time and memory per request, with a model without work.

Prints Markdown for ``docs/scaling.md``. The requests per second are a limit of this machine, where
clients, APIs and workers run on the same cores as Redis; the CPU time per request is Redis' own.
"""

import os
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from api.dispatch import PublishedJob
from benchmarks.measuring import Client, print_row
from shared.celery_app import make_celery
from shared.messages import Job
from shared.redis.publishing import Publisher
from shared.settings import Settings
from shared.tasks import CAPTION
from tests.stack import SAMPLES, Stack, running_stack

REQUESTS, CLIENTS = 600, 16
QUEUED_REQUESTS = 200
IDLE_S = 5.0
PHOTOS_KB = (35, 300)


def main() -> None:
    """Print both tables, and what an idle worker costs."""
    print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} shared CPU cores, {CLIENTS} clients.\n")
    print("| API processes | workers | requests/s | Redis CPU ms per request | of 1 core |")
    print("| --- | --- | --- | --- | --- |")
    for processes, workers in ((1, 1), (2, 1), (2, 2), (4, 2)):
        with (
            tempfile.TemporaryDirectory() as folder,
            running_stack(Path(folder), VISION_API_PROCESSES=str(processes)) as stack,
        ):
            throughput(stack, processes, workers)
    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder)) as stack:
        memory(stack)
        stack.worker("fake")
        print(f"\nRedis CPU of one idle worker: {idle(stack):.2f} % of a core.")


def throughput(stack: Stack, processes: int, workers: int) -> None:
    """Print a row: requests per second, and the CPU time of Redis for each."""
    base = stack.api()
    for _ in range(workers):
        stack.another_worker("fake")
    stack.wait_ready("fake", workers)
    client = Client(base, "fake", CAPTION)
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda _: client(), range(2 * CLIENTS)))
        cpu_before_s, started = redis_cpu_s(stack), time.perf_counter()
        list(pool.map(lambda _: client(), range(REQUESTS)))
        seconds, cpu_s = time.perf_counter() - started, redis_cpu_s(stack) - cpu_before_s
    cells = (f"{REQUESTS / seconds:.0f}", f"{1000 * cpu_s / REQUESTS:.2f}")
    print_row([processes, workers, *cells, f"{100 * cpu_s / seconds:.0f} %"])


def memory(stack: Stack) -> None:
    """Print the memory that queued requests take in Redis."""
    settings = Settings(redis_url=stack.redis_url)
    app, spec = make_celery(settings, worker=False), stack.catalog.get("unserved")
    publisher = Publisher(app, stack.product_redis)
    photo = (SAMPLES / "cat.jpg").read_bytes()
    print("\n| photo kB | Redis kB per queued request |\n| --- | --- |")
    for size_kb in PHOTOS_KB:
        image = (photo * (1 + 1000 * size_kb // len(photo)))[: 1000 * size_kb]
        before = int(stack.redis.info("memory")["used_memory"])
        for _ in range(QUEUED_REQUESTS):
            job = Job(
                request_id=str(uuid.uuid4()),
                tasks=(CAPTION,),
                deadline=time.time() + settings.timeout,
            )
            PublishedJob(
                publisher, stack.store, spec, job, [image], stack.store.presence.of
            ).publish()
        after = int(stack.redis.info("memory")["used_memory"])
        print_row([size_kb, f"{(after - before) / QUEUED_REQUESTS / 1000:.0f}"])


def idle(stack: Stack) -> float:
    """Return the CPU usage of Redis while one worker is idle, in percent of a core."""
    before_s = redis_cpu_s(stack)
    time.sleep(IDLE_S)
    return 100 * (redis_cpu_s(stack) - before_s) / IDLE_S


def redis_cpu_s(stack: Stack) -> float:
    """Return the CPU seconds that Redis has used."""
    info = stack.redis.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


if __name__ == "__main__":
    main()
