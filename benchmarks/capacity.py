"""Measure what one Redis carries: its time and memory a request, with a model that does nothing.

Prints Markdown for ``docs/scaling.md``. Requests a second are this machine's, where clients, APIs
and workers share the cores with Redis; the CPU time a request costs Redis tells its limit.
"""

import os
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measuring import Client
from shared.celery_app import make_celery
from shared.messages import Job, celery_task_name
from shared.redis.images import new_image_keys
from shared.settings import Settings
from shared.tasks import CAPTION
from tests.stack import SAMPLES, Stack, running_stack

REQUESTS, CLIENTS = 600, 16
WAITING = 200
IDLE_S = 5.0
PHOTOS_KB = (35, 300)


def main() -> None:
    """Print both tables."""
    print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} shared CPU cores, {CLIENTS} clients.\n")
    print("| API processes | workers | requests/s | Redis CPU ms a request | of 1 core |")
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
    """Print a row: requests a second, and what Redis spent on each."""
    base = stack.api()
    for _ in range(workers):
        stack.another_worker("fake")
    stack.wait_ready("fake", workers)
    call = Client(base, "fake", CAPTION)
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda _: call(), range(2 * CLIENTS)))
        spent, started = redis_cpu(stack), time.perf_counter()
        list(pool.map(lambda _: call(), range(REQUESTS)))
        seconds, spent = time.perf_counter() - started, redis_cpu(stack) - spent
    row = (processes, workers, f"{REQUESTS / seconds:.0f}", f"{1000 * spent / REQUESTS:.2f}")
    print(f"| {' | '.join(map(str, row))} | {100 * spent / seconds:.0f} % |", flush=True)


def memory(stack: Stack) -> None:
    """Print what waiting requests take in Redis."""
    settings = Settings(redis_url=stack.redis_url)
    app, spec = make_celery(settings, worker=False), stack.catalog.get("unserved")
    photo = (SAMPLES / "cat.jpg").read_bytes()
    print("\n| photo kB | Redis kB a waiting request |\n| --- | --- |")
    for size_kb in PHOTOS_KB:
        image = (photo * (1 + 1000 * size_kb // len(photo)))[: 1000 * size_kb]
        before = int(stack.redis.info("memory")["used_memory"])
        for _ in range(WAITING):
            job = Job(
                request_id=str(uuid.uuid4()),
                tasks=(CAPTION,),
                images=new_image_keys(1),
                deadline=time.time() + settings.timeout,
            )
            stack.store.images.put(job.images, [image], settings.timeout)
            message = {"job": job.model_dump(mode="json", exclude_defaults=True)}
            app.send_task(celery_task_name(job), kwargs=message, queue=spec.queue)
        after = int(stack.redis.info("memory")["used_memory"])
        print(f"| {size_kb} | {(after - before) / WAITING / 1000:.0f} |", flush=True)


def idle(stack: Stack) -> float:
    """Return the share of a core that Redis takes while a worker waits, in percent."""
    spent = redis_cpu(stack)
    time.sleep(IDLE_S)
    return 100 * (redis_cpu(stack) - spent) / IDLE_S


def redis_cpu(stack: Stack) -> float:
    """Return the CPU seconds that Redis has used."""
    info = stack.redis.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


if __name__ == "__main__":
    main()
