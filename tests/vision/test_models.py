"""``vision models``, ``recycle``, ``unload`` and ``top`` against a running stack."""

import json

import pytest

from launcher.ports import free_port
from tests.integration.client import idle_worker
from tests.stack import Stack, wait_for
from tests.vision.command import succeeds, vision, vision_process


@pytest.fixture(scope="module")
def url(stack: Stack, api: str) -> str:
    for model in ("fake", "broken"):
        stack.worker(model)
    return api


def worker_of(stack: Stack, model: str) -> tuple[str, str, int]:
    worker = stack.status(model)
    return worker.worker, worker.state, worker.model_pid


def row(table: str, name: str) -> str:
    return next(line for line in table.splitlines() if line.startswith(f"{name} "))


def table_with(url: str, word: str) -> str | None:
    """The table, if it has a word: a model that cannot be loaded is tried again now and then."""
    table = succeeds("models", "--url", url)
    return table if word in table else None


def test_the_table_has_what_runs_with_the_reason_for_what_does_not(stack: Stack, url: str) -> None:
    idle_worker(stack, "fake")
    table = wait_for("the failure", lambda: table_with(url, "failed"))
    assert "ready" in row(table, "fake")
    assert "CPU" in row(table, "fake")
    assert "MB of" in row(table, "fake")
    assert "the weights are corrupt" in row(table, "broken")
    assert "unserved" not in table
    assert "not running" in row(succeeds("models", "--all", "--url", url), "unserved")


def test_as_json_it_has_every_model(stack: Stack, url: str) -> None:
    idle_worker(stack, "fake")
    rows = {
        entry["name"]: entry for entry in json.loads(succeeds("models", "--json", "--url", url))
    }
    assert rows["fake"]["served"]
    assert rows["fake"]["workers"][0]["memory_mb"] > 10
    assert rows["opennsfw"]["nsfw_threshold"] == 0.327
    assert rows["fake"]["nsfw_threshold"] == 0.5
    assert rows["blip"]["nsfw_threshold"] is None


def test_recycle_and_unload_say_which_workers_confirmed(stack: Stack, url: str) -> None:
    name, _, before = worker_of(stack, "fake")
    said = vision("recycle", "fake", VISION_URL=url)
    assert said.returncode == 0
    assert name in said.stderr
    wait_for("another process", lambda: worker_of(stack, "fake")[2] not in (0, before))
    assert vision("unload", "fake", VISION_URL=url).returncode == 0
    wait_for("unloading", lambda: worker_of(stack, "fake")[1] == "unloaded")


def test_top_prints_one_table_where_there_is_no_terminal(stack: Stack, url: str) -> None:
    assert worker_of(stack, "fake")[0] in succeeds("top", "--url", url)


def test_a_model_that_is_not_there_is_said_with_those_that_are(url: str) -> None:
    said = vision("recycle", "nobody", "--url", url)
    assert said.returncode == 3
    assert "There is no model 'nobody'. Models: efficientnet-lite0" in said.stderr
    assert "Traceback" not in said.stderr


def test_no_service_is_said_with_what_to_do() -> None:
    said = vision_process("models", VISION_URL=f"http://127.0.0.1:{free_port()}")
    assert said.returncode == 3
    assert "Connection refused" in said.stderr
    assert "make run" in " ".join(said.stderr.split())
    assert "Traceback" not in said.stderr


def test_a_key_is_asked_for_and_taken_from_flag_or_variable(stack: Stack) -> None:
    stack.worker("fake")
    guarded = stack.api(VISION_API_KEYS="sesame,schlüssel-für-5-€")
    assert "needs a key" in vision("models", "--url", guarded).stderr
    assert "does not accept the key" in vision("models", "--url", guarded, "--key", "no").stderr
    assert "fake" in succeeds("models", "--url", guarded, "--key", "sesame")
    assert "fake" in succeeds("models", VISION_URL=guarded, VISION_API_KEY="sesame")
    assert "fake" in succeeds("models", VISION_URL=guarded, VISION_API_KEY="schlüssel-für-5-€")
