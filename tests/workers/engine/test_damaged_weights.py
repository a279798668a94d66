"""What the engine makes of weights that are damaged, or not there yet. Each costs loads: slow."""

import shutil
import time
from pathlib import Path

import pytest
from filelock import FileLock

from shared.settings import Settings
from shared.vocabulary import WorkerState
from tests.engines import caption, running_row
from tests.hub_standin import HubStandIn
from tests.stack import TESTS, wait_for
from workers.model.hub import DAMAGED_AGAIN_S

pytestmark = pytest.mark.slow


def test_a_damaged_file_of_weights_is_a_failed_load_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    shutil.copytree(TESTS / "checkpoints" / "vit-gpt2", tmp_path / "damaged")
    weights = tmp_path / "damaged" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    row = {"name": "damaged", "family": "vision_encoder_decoder", "source": "none/needed"}
    with running_row(row, Settings(models_dir=tmp_path)) as engine:
        wait_for("the failure", lambda: engine.status.state == WorkerState.FAILED, 60)
        assert "The model cannot be loaded: " in engine.status.reason
        assert "model.safetensors is cut off: it has 100,000 of " in engine.status.reason
        assert "none/needed is not fetched into" in engine.status.reason


def test_weights_that_arrive_damaged_twice_are_not_fetched_with_every_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HubStandIn({"own/tiny": TESTS / "checkpoints" / "vit-gpt2"}) as hub:
        hub.instead["model.safetensors"] = [b"changed on the way"] * 9
        for name, value in (("HF_ENDPOINT", hub.url), ("NO_PROXY", "127.0.0.1")):
            monkeypatch.setenv(name, value)
        row = {"name": "damaged", "family": "fake", "source": "own/tiny"}
        with running_row(row, Settings(models_dir=tmp_path)) as engine:
            wait_for("the failure", lambda: engine.status.state == WorkerState.FAILED, 60)
            assert "A file of own/tiny arrives damaged" in engine.status.reason
            assert engine._loop._backoff.retry_at - time.monotonic() > DAMAGED_AGAIN_S - 60
            assert hub.fetched().count("model.safetensors") == 2

            hub.instead.clear()
            engine.recycle()
            wait_for("the next try", lambda: engine.status.state.is_up)
            assert caption(engine, 1) == "rgb 1 0 0"


def test_to_wait_while_another_process_fetches_is_no_failure_however_long_it_takes(
    tmp_path: Path,
) -> None:
    """As a second worker of a model does, or one beside ``vision pull``."""
    row = {"name": "tiny", "family": "fake", "source": "own/tiny"}
    other = FileLock(tmp_path / "tiny.lock")
    other.acquire()
    with running_row(row, Settings(models_dir=tmp_path, load_timeout_s=4)) as engine:
        wait_for("the wait", lambda: engine.status.state == WorkerState.DOWNLOADING, 20)
        until = time.monotonic() + 8
        while time.monotonic() < until:
            assert engine.status.reason == "waiting for another process to fetch own/tiny"
            time.sleep(0.1)
        shutil.copytree(TESTS / "checkpoints" / "vit-gpt2", tmp_path / "tiny")
        other.release()
        assert caption(engine, 1) == "rgb 1 0 0"
