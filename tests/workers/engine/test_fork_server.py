"""Model processes are forked from a server that has imported their code, and that is healed too."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import psutil
import pytest

from shared.families import FAMILIES
from shared.settings import Settings
from shared.vocabulary import WorkerState
from tests.engines import caption, item, running, running_row, text_of
from tests.poisoned_fork_server import serve_after_using_a_gpu
from tests.stack import ROOT, wait_for
from workers.engine import faults
from workers.engine.children import ForkServer
from workers.engine.local import LocalEngine
from workers.model import fork_server as fork_server_module
from workers.model.cpu_threads import SPINS

CHECKPOINTS = ROOT / "tests" / "checkpoints"
REAL = {"name": "vit-gpt2", "family": "vision_encoder_decoder", "source": "local/tiny"}
LOOK_AROUND = """
import json, os, sys
from workers.model.fork_server import can_fork, preload
preload(tuple(json.loads(sys.argv[1])))
torch = sys.modules.get("torch")
print(json.dumps({
    "threads": len(os.listdir("/proc/self/task")),
    "torch": torch is not None,
    "cuda": torch is not None and torch.cuda.is_initialized(),
    "can fork": can_fork(),
    "blas": os.environ.get("OPENBLAS_NUM_THREADS"),
}))
"""


@pytest.mark.parametrize(
    "torch",
    [
        pytest.param(False, id="without torch"),
        pytest.param(True, id="with torch", marks=pytest.mark.slow),
    ],
)
def test_what_is_imported_ahead_may_be_forked(*, torch: bool) -> None:
    """No threads, which a fork leaves behind with their locks, and no context of CUDA."""
    light = {"fake", "onnx"}
    families = (name for name in FAMILIES if FAMILIES[name].target and (name in light) != torch)
    modules = sorted({module for name in families for module in FAMILIES[name].preload})
    command = [sys.executable, "-c", LOOK_AROUND, json.dumps(["workers.model.main", *modules])]
    output = subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout
    expected = {"threads": 1, "torch": torch, "cuda": False, "can fork": True, "blas": None}
    assert json.loads(output) == expected


def test_a_module_that_cannot_be_imported_ahead_is_left_for_the_model_process() -> None:
    command = [sys.executable, "-c", LOOK_AROUND, '["no_such_module", "workers.model.main"]']
    assert subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, SPINS), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "PASSIVE"}, "0")],
)
def test_threads_of_torch_soon_sleep_while_they_wait_for_each_other(
    given: dict[str, str], spins: str
) -> None:
    """On a busy host they would keep those that they wait for from a core."""
    command = [sys.executable, "-c", LOOK_AROUND, '["torch"]']
    environment = {**os.environ, "OMP_DISPLAY_ENV": "VERBOSE"}
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        environment.pop(name, None)

    done = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=ROOT, env=environment | given
    )

    assert f"GOMP_SPINCOUNT = '{spins}'" in done.stderr


def server_pid(engine: LocalEngine) -> int:
    return engine._loop._supervisor._fork_server.pid


def fork_server(engine: LocalEngine) -> psutil.Process:
    return psutil.Process(server_pid(engine))


def model(engine: LocalEngine) -> psutil.Process:
    return psutil.Process(engine.status.model_pid)


@pytest.mark.slow
def test_models_of_torch_are_forked_one_after_the_other_and_answer_right() -> None:
    """Torch's threads and its quantised kernels work in each, with as many threads as elsewhere."""
    settings = Settings(models_dir=CHECKPOINTS, device="cpu", load_timeout_s=60)
    with running_row(REAL, settings) as engine:
        texts = []
        for _ in range(3):
            texts.append(caption(engine, 255))
            before, server = model(engine), fork_server(engine)
            assert before.ppid() == server.pid
            before.kill()
            wait_for("another process", lambda p=before.pid: engine.status.model_pid not in (0, p))  # type: ignore[misc]
            wait_for("the model", lambda: engine.status.state == WorkerState.READY)
            assert fork_server(engine) == server
    assert texts == ["a red square"] * 3


@pytest.mark.slow
def test_where_imports_use_a_gpu_each_process_imports_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_server_module, "serve", serve_after_using_a_gpu)
    with running() as engine:
        for red in (1, 2):
            assert caption(engine, red) == f"rgb {red} 0 0"
            before = model(engine)
            assert before.ppid() == fork_server(engine).pid
            assert "workers.model.fork_server" in " ".join(before.cmdline())
            before.kill()
            wait_for("another process", lambda p=before.pid: engine.status.model_pid not in (0, p))  # type: ignore[misc]
        last = model(engine)
        fork_server(engine).kill()
        wait_for("its end", lambda: not last.is_running())
        assert caption(engine, 3) == "rgb 3 0 0"


def test_when_the_fork_server_dies_no_job_is_lost() -> None:
    with running(predict_s=0.3) as engine:
        assert caption(engine, 0)
        first = fork_server(engine)
        futures = [engine.submit(item(n)) for n in range(1, 4)]
        first.kill()
        assert [text_of(future) for future in futures] == [f"rgb {n} 0 0" for n in range(1, 4)]
        assert fork_server(engine) != first


def test_a_fork_server_that_dies_while_the_model_is_unloaded_is_there_before_the_next_job() -> None:
    with running() as engine:
        assert caption(engine, 0)
        engine.unload()
        wait_for("unloading", lambda: engine.status.state == WorkerState.UNLOADED)
        first = fork_server(engine)
        first.kill()
        wait_for("another one", lambda: server_pid(engine) not in (0, first.pid))
        assert engine.status.state == WorkerState.UNLOADED
        assert fork_server(engine).is_running()
        assert caption(engine, 1) == "rgb 1 0 0"


def test_signals_that_stop_a_worker_end_neither_the_fork_server_nor_the_model() -> None:
    """They may be sent to every process of a terminal, a container or a service."""
    with running(predict_s=0.3) as engine:
        assert caption(engine, 0)
        processes = [fork_server(engine), model(engine)]
        future = engine.submit(item(1))
        for process in processes:
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGTERM)
        assert text_of(future) == "rgb 1 0 0"
        assert [fork_server(engine), model(engine)] == processes


@pytest.mark.slow
def test_a_fork_server_that_hangs_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as engine:
        assert caption(engine, 0)
        hung = fork_server(engine)
        hung.suspend()
        with monkeypatch.context() as patched:
            patched.setattr(engine._loop._supervisor, "_settings", Settings(load_timeout_s=1))
            model(engine).kill()
            wait_for("the failure", lambda: engine.status.state == WorkerState.FAILED)
        wait_for("the next try", lambda: engine.status.state == WorkerState.READY)
        assert not hung.is_running()
        assert caption(engine, 1) == "rgb 1 0 0"


def test_a_model_that_takes_too_long_to_load_is_said_with_the_setting_that_allows_more() -> None:
    row = {"name": "fake", "family": "fake", "parameters": {"load_s": 600}}
    with running_row(row, Settings(load_timeout_s=0.5)) as engine:
        wait_for("the failure", lambda: engine.status.state == WorkerState.FAILED)
        assert "and VISION_LOAD_TIMEOUT_S is 0.5" in engine.status.reason


def test_a_fork_server_that_could_not_be_started_is_started_as_soon_as_that_is_possible(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where a container had as many processes as it may have, or no memory for another one."""
    spawn: Any = vars(SpawnProcess)["_Popen"].__func__
    refusals = [OSError(errno.EAGAIN, "Resource temporarily unavailable")]

    def spawn_at_the_second_try(process: SpawnProcess) -> object:
        if process.name.startswith("fork-server") and refusals:
            raise refusals.pop()
        return spawn(process)

    monkeypatch.setattr(SpawnProcess, "_Popen", staticmethod(spawn_at_the_second_try))
    monkeypatch.setattr(faults, "FIRST_PAUSE_S", 0.5)
    with running() as engine:
        wait_for("the failure", lambda: engine.status.state == WorkerState.FAILED)
        assert "Resource temporarily unavailable" in engine.status.reason
        wait_for("the next try", lambda: engine.status.state == WorkerState.READY, 20)
        assert caption(engine, 1) == "rgb 1 0 0"


@pytest.fixture
def server() -> Iterator[ForkServer]:
    """Used by the test's own thread."""
    from shared.model_spec import ModelSpec

    started = ForkServer(Settings(), ModelSpec(name="fake", family="fake"))
    yield started
    started.close()


def test_how_a_process_ended_is_reported(server: ForkServer, tmp_path: Path) -> None:
    killed, failed = server.start("time:sleep"), server.start("no_such_module:main")
    failed.join(20)
    assert failed.exit_code == 1
    killed.kill()
    assert killed.exit_code in (1, -signal.SIGKILL)  # time.sleep does not accept a pipe


def test_a_killed_fork_server_leaves_no_process(server: ForkServer) -> None:
    child = server.start("workers.model.main:main")
    wait_for("the process", lambda: child.pid)
    process = psutil.Process(child.pid)
    psutil.Process(server.pid).kill()
    child.join(10)
    assert child.exit_code is None
    wait_for("its end", lambda: not process.is_running() or process.status() == "zombie")


def test_the_end_of_the_thread_that_owns_it_ends_the_fork_server(server: ForkServer) -> None:
    def start() -> None:
        child = server.start("workers.model.main:main")
        wait_for("the process", lambda: child.pid)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    process = psutil.Process(server.pid)
    wait_for("its end", lambda: process.status() == "zombie" or not process.is_running())
