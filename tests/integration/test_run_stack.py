"""``make run``: it starts the stack, restarts processes that die, and leaves nothing behind."""

import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from launcher.ports import LOOPBACK, free_port
from tests.conftest import data_url
from tests.launched import LAUNCH, Launched, alive, environment
from tests.stack import ROOT, Stack, end, wait_for

LOGS = (".log", ".conf", ".pid")
KEYS = ("opens-sesame", "another-door")


Launch = Callable[..., Launched]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Starts launchers; afterwards stops them, and removes their folders in the checkout."""
    started: list[Launched] = []

    def start(**extra: str) -> Launched:
        started.append(Launched(tmp_path / f"run-{len(started)}.log", **extra))
        return started[-1]

    yield start
    for launched in started:
        end(launched.process)
        shutil.rmtree(launched.folder)


@pytest.mark.slow
def test_it_starts_answers_restarts_a_dead_worker_and_leaves_nothing_after_ctrl_c(
    launch: Launch, cat: bytes
) -> None:
    launched = launch(VISION_API_KEYS=",".join(KEYS))
    output = launched.log.read_text()
    command = re.search(r"curl -H '(.+): (.+)' -F images=@(\S+) (\S+)", output)
    flower = re.search(r"Flower +(\S+)", output)
    assert command
    assert flower
    assert requests.get(flower[1], timeout=10).status_code == 200
    assert "vision.fake" in requests.get(f"{flower[1]}/broker", timeout=10).text
    assert not any(key in output for key in KEYS)
    assert (ROOT / command[3]).is_file()
    client, url = requests.Session(), command[4]
    client.headers[command[1]] = command[2].replace("KEY", KEYS[1])
    body = {"images": [data_url(cat)]}
    reply = client.post(url, json=body, timeout=30)
    assert reply.json()["result"]["nsfw"][0]["status"] in ("safe", "unsafe")

    (worker,) = [p for p in launched.family() if p.cmdline()[1:] == ["-m", "workers", "fake"]]
    assert worker.environ()["TMPDIR"] == str(launched.folder / "tmp")
    worker.kill()
    assert client.post(url, json=body, timeout=60).status_code == 200

    family = launched.family()
    assert len(family) >= 6  # supervisord, Redis, worker, model process, gunicorn and its worker
    assert launched.stop(signal.SIGINT) == 0
    assert not any(map(alive, family))
    assert all(path.suffix in LOGS for path in launched.folder.iterdir())
    assert "All stopped" in launched.log.read_text()


@pytest.mark.slow
def test_a_configured_redis_is_used_and_sigterm_stops_only_the_rest(
    stack: Stack, launch: Launch
) -> None:
    launched = launch(VISION_REDIS_URL=stack.redis_url)
    family = launched.family()
    assert "redis-server" not in [process.name() for process in family]
    assert f"Redis: {stack.redis_url}" in launched.log.read_text()
    assert launched.stop(signal.SIGTERM) == 0
    assert not any(map(alive, family))
    assert stack.redis.ping()


@pytest.mark.slow
def test_it_is_up_with_the_models_of_this_machine_where_no_ollama_answers(launch: Launch) -> None:
    launched = launch(OLLAMA_ENABLED="1", OLLAMA_HOST="127.0.0.1:1")
    output = launched.log.read_text()
    assert "Vision Workers is up, but not all models are." in output
    assert re.search(r"Models +fake \(", output)
    assert re.search(r"Not up +ollama: no Ollama server answers: http://127.0.0.1:1: ", output)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"VISION_MODELS": "nobody"}, "There is no model 'nobody'", id="model"),
        pytest.param(
            {"VISION_CATALOG": "/nowhere.yaml"}, "cannot read the catalogue",
            id="catalogue", marks=pytest.mark.slow,
        ),
        pytest.param({"VISION_PORT": "eighty"}, "VISION_PORT: Input should be a valid", id="port"),
        pytest.param({"VISION_PORT": "0"}, "VISION_PORT", id="port-0", marks=pytest.mark.slow),
        pytest.param(
            {"VISION_REDIS_URL": "redis://127.0.0.1:1/0"}, "VISION_REDIS_URL", id="redis",
        ),
        pytest.param(
            {"VISION_REDIS_URL": "unix:///run/redis.sock"}, "must begin with redis://",
            id="socket", marks=pytest.mark.slow,
        ),
    ],
)  # fmt: skip
def test_an_invalid_setting_is_reported_before_anything_starts(
    change: dict[str, str], words: str
) -> None:
    done = subprocess.run(
        LAUNCH, cwd=ROOT, env={**environment(free_port()), **change}, capture_output=True,
        text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert words in done.stdout
    assert "stopped" not in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("setting", ["VISION_PORT", "VISION_FLOWER_PORT"])
def test_a_port_in_use_is_reported_with_the_setting_to_change(setting: str) -> None:
    taken = free_port()
    with socket.create_server((LOOPBACK, taken)):
        done = subprocess.run(
            LAUNCH, cwd=ROOT, env={**environment(free_port()), setting: str(taken)},
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
    assert done.returncode == 1
    assert f"port {taken}" in done.stdout
    assert f" {setting}=" in done.stdout


@pytest.mark.slow
def test_nothing_outlives_a_killed_supervisord(launch: Launch) -> None:
    launched = launch()
    family = launched.family()
    (supervisord,) = [p for p in family if "supervisor.supervisord" in p.cmdline()]
    supervisord.kill()
    wait_for("the end of all processes", lambda: not any(map(alive, family)))
    assert launched.process.wait(20) == 1
    assert "The supervisor ended by itself" in launched.log.read_text()
