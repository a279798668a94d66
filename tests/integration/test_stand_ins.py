"""The names of PhotoPrism's built-in models are answered by the default model of their task."""

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from shared.catalog import Catalog
from shared.settings import ROOT
from shared.tasks import LABELS, NSFW
from shared.tasks.registry import Task
from tests.conftest import data_url
from tests.photoprism_clients import LABEL_MODELS, NSFW_MODELS
from tests.stack import API, CATALOG, Stack

SENT: list[tuple[Task, str]] = [
    *((LABELS, name) for name in LABEL_MODELS),
    *((NSFW, name) for name in NSFW_MODELS),
]
ANSWERS = {LABELS: "efficientnet-lite0", NSFW: "opennsfw"}


@pytest.fixture(scope="module")
def base(stack: Stack, api: str) -> str:
    for model in ANSWERS.values():
        stack.worker(model)
    return api + API


def post(url: str, cat: bytes, **body: Any) -> dict[str, Any]:
    reply = requests.post(url, json={"images": [data_url(cat)], **body}, timeout=60)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def spellings(name: str) -> tuple[str, ...]:
    return name, name.upper(), name.replace("_", "-"), f"{name}:latest", f"{name}:1.0", f" {name} "


@pytest.mark.parametrize("path", [ROOT / "models.yaml", CATALOG], ids=["project", "tests"])
def test_the_catalogues_know_every_built_in_model(path: Path) -> None:
    defaults = Catalog.load(path).defaults

    assert set(defaults[LABELS].stands_in_for) == set(LABEL_MODELS)
    assert set(defaults[NSFW].stands_in_for) == set(NSFW_MODELS)


@pytest.mark.parametrize(("task", "name"), SENT)
def test_a_built_in_model_is_answered_by_the_default_of_its_task_however_it_is_spelt(
    base: str, cat: bytes, task: Task, name: str
) -> None:
    for spelling in spellings(name):
        reply = post(f"{base}/{task}", cat, model=spelling)
        assert reply["model"]["name"] == ANSWERS[task]
        assert list(reply["result"]) == [task]


@pytest.mark.parametrize(("task", "name"), SENT)
def test_on_the_base_route_a_built_in_model_means_its_task_alone(
    base: str, cat: bytes, task: Task, name: str
) -> None:
    reply = post(base, cat, model=name, version="latest")

    assert reply["model"]["name"] == ANSWERS[task]
    assert list(reply["result"]) == [task]


def test_a_built_in_model_may_be_in_the_path(base: str, cat: bytes) -> None:
    assert post(f"{base}/nsfw/yahoo_open_nsfw", cat)["model"]["name"] == "opennsfw"
    assert post(f"{base}/labels/NASNet/latest", cat)["model"]["name"] == "efficientnet-lite0"


def test_a_built_in_model_of_another_task_is_not_found_and_the_reason_is_given(
    base: str, cat: bytes
) -> None:
    reply = requests.post(
        f"{base}/caption", json={"images": [data_url(cat)], "model": "nasnet"}, timeout=60
    )

    assert reply.status_code == 404
    assert (
        "'nasnet' for caption: it stands for the default model for labels" in reply.json()["error"]
    )


def json_lines(log: str) -> list[str]:
    """An API of another test that cannot start ends its log with a traceback."""
    return [line for line in log.splitlines() if line.startswith("{")]


def test_the_log_says_which_model_answered_in_whose_place(
    base: str, stack: Stack, cat: bytes
) -> None:
    for request_id, model in (("in-place", "Yahoo-Open-NSFW:1.0"), ("by-name", "opennsfw")):
        post(f"{base}/nsfw", cat, model=model, id=request_id)

    logged = [
        line
        for line in map(json.loads, json_lines(stack.processes.logs("api")))
        if line["event"] == "request" and line.get("request_id") in ("in-place", "by-name")
    ]
    assert [(line["models"], line.get("stands_in_for")) for line in logged] == [
        ("opennsfw", "yahoo_open_nsfw"),
        ("opennsfw", None),
    ]


def test_a_built_in_model_is_not_taken_for_a_model_of_ollama(stack: Stack, cat: bytes) -> None:
    stack.worker("efficientnet-lite0")
    base = stack.api(OLLAMA_ENABLED="true") + API

    for path in ("", "/labels"):
        assert post(base + path, cat, model="nasnet")["model"]["name"] == "efficientnet-lite0"
    body = {"images": [data_url(cat)], "model": "nasnet"}
    assert requests.post(f"{base}/caption", json=body, timeout=60).status_code == 404
