"""What a model process does when it starts, in a child that takes the stand-in for the hub.

The hub's client reads the address when it is imported, so the tests' own process cannot have it.
"""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from shared.messages import Instructions
from shared.model_spec import ModelSpec
from shared.settings import Settings
from tests.hub_standin import HubStandIn
from tests.inputs import prepared
from workers.model import loading
from workers.model.family import LoadError, PreparedJob
from workers.model.hub import Fetched
from workers.model.weights import ensure_weights

Row = dict[str, Any]
"""A row of the catalogue."""


class Outcome(NamedTuple):
    """What became of a start."""

    said: str
    """The answer of the model, or why there is none."""
    error: str = ""
    """The exception's type; empty: the model is ready."""
    retry_in_s: float = 0.0


class ModelProcess:
    """A child process, and the hub that it knows."""

    def __init__(self, hub: HubStandIn, pool: ProcessPoolExecutor) -> None:
        self.hub, self._pool = hub, pool

    def fetch(self, row: Row, models_dir: Path, **variables: str) -> Outcome:
        """See that the weights are there, with some environment variables set."""
        return self._pool.submit(_fetch, row, models_dir, variables).result()

    def start(self, row: Row, models_dir: Path, image: bytes) -> Outcome:
        """Start the model and have it answer an image."""
        return self._pool.submit(_start, row, models_dir, image).result()


@contextmanager
def model_process_with_hub(home: Path) -> Iterator[ModelProcess]:
    """Run a hub without repositories, and a child that knows it."""
    spawn = multiprocessing.get_context("spawn")
    with HubStandIn({}) as hub, ProcessPoolExecutor(1, mp_context=spawn) as pool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HF_ENDPOINT", hub.url)
            patch.setenv("HOME", str(home))
            patch.setenv("NO_PROXY", "127.0.0.1")
            for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "HF_TOKEN_PATH"):
                patch.delenv(name, raising=False)
            assert pool.submit(os.getpid).result() != os.getpid()
        yield ModelProcess(hub, pool)


def _fetch(row: Row, models_dir: Path, variables: dict[str, str]) -> Outcome:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        try:
            return Outcome(str(ensure_weights(ModelSpec.model_validate(row), models_dir, _ignore)))
        except LoadError as err:
            return Outcome(str(err), type(err).__name__, err.retry_in_s)


def _start(row: Row, models_dir: Path, image: bytes) -> Outcome:
    settings = Settings(models_dir=models_dir, device="cpu", torch_threads=1)
    spec = ModelSpec.model_validate(row)
    worker, process = multiprocessing.Pipe()
    with worker, process:
        try:
            model = loading.load(process, settings, spec)
        except Exception as err:  # noqa: BLE001 - as in `main`
            report = loading.failure_report(err)
            return Outcome(report.reason, type(err).__name__, report.retry_in_s)
    job = PreparedJob([prepared(model, image)], Instructions(tasks=spec.tasks))
    (result,) = model.predict([job], max_images=1)
    payload = next(iter(result.root.values()))
    return Outcome((getattr(payload, "text", None) or payload[0].name).lower())


def _ignore(_: Fetched) -> None:
    """Progress is tested elsewhere."""
