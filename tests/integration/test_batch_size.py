"""The number of tasks that Celery holds follows the size of batches, which finds itself. Slow."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import yaml

from shared.catalog import Catalog
from shared.redis.presence import WorkerStatus
from tests.conftest import data_url, plain
from tests.stack import API, Stack, running_stack, wait_for
from workers.engine.climbing import FIRST

pytestmark = pytest.mark.slow

CLIENTS = 96


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose model pretends to be on a GPU, with the memory that a file says."""
    folder = tmp_path_factory.mktemp("sizes")
    catalog = folder / "models.yaml"
    parameters = {
        "accelerator": "a GPU",
        "predict_s": 0.2,
        "image_s": 0.0005,
        "image_mb": 1.0,
        "memory_mb_file": str(folder / "memory"),
    }
    rows = [{"name": "quick", "family": "fake", "parameters": parameters}]
    catalog.write_text(yaml.safe_dump({"models": rows}))
    with running_stack(folder, VISION_CATALOG=str(catalog), VISION_MODELS="quick") as running:
        running.catalog = Catalog.load(catalog)
        yield running


@contextmanager
def asked_all_the_time(url: str) -> Iterator[None]:
    """Clients that send their next request once they have an answer; each must be right."""
    over = threading.Event()

    def client(red: int) -> None:
        body = {"images": [data_url(plain(red))]}
        while not over.is_set():
            reply = requests.post(url, json=body, timeout=60).json()
            assert reply["result"]["caption"]["text"] == f"rgb {red} 0 0"

    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(client, red) for red in range(CLIENTS)]
        try:
            yield
        finally:
            over.set()
        for each in clients:
            each.result()


def test_a_worker_holds_as_many_tasks_as_its_batches_need(stack: Stack) -> None:
    stack.worker("quick")
    api = stack.api(VISION_REQUEST_SLOTS=str(CLIENTS))

    def worker() -> WorkerStatus:
        return stack.status("quick")

    def holds_more_than_at_first() -> bool:
        status = worker()
        return status.held > 2 * FIRST and max(status.batches) > 2 * FIRST

    def holds_few() -> bool:
        status = worker()
        return status.max_batch <= FIRST // 2 and status.held <= 2 * status.max_batch

    with asked_all_the_time(f"{api}{API}/caption/quick"):
        wait_for("larger batches", holds_more_than_at_first)
        Path(stack.catalog.get("quick").parameters["memory_mb_file"]).write_text(str(FIRST // 2))
        wait_for("smaller batches", holds_few)
    assert worker().recycles == {}
