"""Model processes on a GPU are forked, soon ready again, and leave nothing there when they end."""

import time

import psutil
import pytest
import torch

from shared.settings import Settings
from shared.vocabulary import WorkerState
from tests.engines import caption, running_row
from tests.stack import TESTS, wait_for

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]

ROW = {"name": "kosmos-2", "family": "kosmos2", "source": "local/tiny"}
SETTINGS = Settings(models_dir=TESTS / "checkpoints", device="cuda:0", load_timeout_s=120)
READY_S = 4.0
"""The goal for a process that replaces a killed one."""
NOISE_BYTES = 32 * 2**20


def free() -> int:
    return torch.cuda.mem_get_info(0)[0]


def test_a_killed_model_is_ready_again_in_seconds_and_an_unloaded_one_leaves_the_gpu() -> None:
    torch.empty(1, device="cuda:0")  # this process has its own context from here on
    before = free()
    with running_row(ROW, SETTINGS) as engine:
        assert "red" in caption(engine, 255).lower()
        pid = engine.status.model_pid
        model = psutil.Process(pid)
        parent = model.parent()
        assert parent
        assert model.cmdline() == parent.cmdline()  # forked, not a fresh interpreter
        began = time.monotonic()
        model.kill()
        wait_for("another process", lambda: engine.status.model_pid not in (0, pid))
        wait_for("the model", lambda: engine.status.state == WorkerState.READY)
        assert time.monotonic() - began < READY_S
        assert "red" in caption(engine, 255).lower()
        assert free() < before - NOISE_BYTES
        engine.unload()
        wait_for("unloading", lambda: engine.status.state == WorkerState.UNLOADED)
        wait_for("the memory", lambda: free() >= before - NOISE_BYTES, 10)
        assert parent.is_running()
