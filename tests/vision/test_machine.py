"""What the command line does on the service's own machine: weights, GPU, logs; and ``bench``."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from launcher.ports import LOOPBACK, free_port
from tests.hub_standin import HubStandIn
from tests.stack import ROOT, Stack, wait_for
from tests.vision.command import succeeds, vision, vision_process
from tests.vision.diagnosis import doctor, has
from tests.workers.model.fetching import CHECKPOINT


@pytest.fixture(scope="module")
def url(stack: Stack, api: str) -> str:
    for model in ("fake", "opennsfw"):
        stack.worker(model)
    return api


@pytest.fixture
def weights(tmp_path: Path) -> Iterator[tuple[HubStandIn, dict[str, str]]]:
    """A hub, and the settings of a machine with rows of models from it."""
    rows = [
        {"name": name, "family": "vision_encoder_decoder", "source": f"own/{name}"}
        for name in ("there", "absent", "licensed")
    ]
    rows.append({"name": "fake", "family": "fake"})
    (tmp_path / "models.yaml").write_text(yaml.safe_dump({"models": rows}))
    shutil.copytree(CHECKPOINT, tmp_path / "models" / "there")
    with HubStandIn({"own/absent": CHECKPOINT, "own/licensed": CHECKPOINT}) as hub:
        hub.access.gated = {"own/licensed": {"hf_good"}}
        hub.access.tokens = {"hf_good"}
        yield (
            hub,
            {
                "HF_ENDPOINT": hub.url,
                "HOME": str(tmp_path),
                "HF_TOKEN": "",
                "NO_PROXY": LOOPBACK,
                "VISION_CATALOG": str(tmp_path / "models.yaml"),
                "VISION_MODELS": "there,absent,licensed",
                "VISION_MODELS_DIR": str(tmp_path / "models"),
            },
        )


@pytest.mark.slow
def test_weights_and_licences_are_looked_at_on_the_services_machine(
    weights: tuple[HubStandIn, dict[str, str]], tmp_path: Path
) -> None:
    _, variables = weights
    found = doctor(f"http://{LOOPBACK}:{free_port()}", **variables)
    assert has(found, "✔", "Weights", "there")
    assert has(found, "⚠", "Weights", "absent", "the hub has them", "vision pull absent")
    assert has(found, "✘", "Weights", "licensed", "licence", "HF_TOKEN")
    assert has(found, "", "Disk", "GB are free")
    done = vision_process("pull", "absent", **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "weights are available" in done.stdout + done.stderr
    assert (tmp_path / "models" / "absent" / "model.safetensors").is_file()
    refused = vision_process("pull", "licensed", **variables)
    assert refused.returncode == 1
    assert "licence" in refused.stderr


def test_a_gpu_is_told_with_its_driver_and_models_that_do_not_use_it(
    url: str, tmp_path: Path
) -> None:
    stand_in = tmp_path / "nvidia-smi"
    stand_in.write_text("#!/bin/sh\necho 'NVIDIA L4, 555.42, 1000, 23034'\n")
    stand_in.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    found = doctor(url, PATH=path)
    assert has(found, "✔", "GPU", "NVIDIA L4, driver 555.42, 1000 of 23034 MB")
    assert has(found, "⚠", "GPU", "fake", "runs on the CPU", "UV_TORCH_BACKEND")
    stand_in.write_text("#!/bin/sh\necho 'Driver/library version mismatch'; exit 18\n")
    assert has(doctor(url, PATH=path), "✘", "GPU", "version mismatch")


def test_logs_of_make_run_are_shown_and_else_the_command_of_docker(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"
    said = vision("logs", "--url", url)
    assert said.returncode == 3
    assert "docker compose logs --follow" in said.stderr
    folder = ROOT / ".run" / str(port)
    folder.mkdir(parents=True)
    try:
        (folder / "api.log").write_text("hello from the api\n")
        (folder / "worker-fake.log").write_text("hello from a worker\n")
        both = vision_process("logs", "--no-follow", "--url", url).stdout
        assert "from the api" in both
        assert "from a worker" in both
        one = vision_process("logs", "worker-fake", "--no-follow", "--url", url).stdout
        assert "from the api" not in one
        assert "api, worker-fake" in vision("logs", "nobody", "--url", url).stderr
    finally:
        shutil.rmtree(folder)


def test_bench_measures_each_task_of_a_model(url: str) -> None:
    rows = json.loads(succeeds("bench", "fake", "--photos", "6", "--json", "--url", url))
    assert [(row["task"], row["photos"], row["failed"]) for row in rows] == [
        ("caption", 6, 0), ("labels", 6, 0), ("nsfw", 6, 0),
    ]  # fmt: skip
    assert all(row["per_hour"] > 0 for row in rows)
    assert "Photos per hour" in succeeds("bench", "fake", "--photos", "1", "--url", url)


def test_bench_says_at_once_which_models_do_not_run(url: str) -> None:
    began = time.monotonic()
    said = vision("bench", "fake", "unserved", "--photos", "1", "--url", url)
    assert time.monotonic() - began < 5
    assert (said.returncode, said.stdout) == (1, "")
    assert "No worker runs unserved: see `vision models --all`." in said.stderr


def test_bench_waits_no_longer_for_an_answer_than_it_may_measure(stack: Stack, url: str) -> None:
    stack.worker("broken")
    wait_for("the failure", lambda: "failed" in succeeds("models", "--url", url))
    began = time.monotonic()
    said = vision("bench", "broken", "--seconds", "1", "--url", url)
    assert time.monotonic() - began < 30
    assert said.returncode == 1
    assert "Waiting: " in said.stderr
    assert "There was no answer for 1 s: " in said.stderr
    assert "the weights are corrupt" in said.stderr
