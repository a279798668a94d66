"""Properties of the architecture: a light API, and catalogue rows that can be loaded."""

import importlib
import json
import subprocess
import sys

import pytest

from shared.catalog import Catalog
from shared.families import FAMILIES, OLLAMA
from tests.stack import ROOT, child_environment

IMPORT_AND_MEASURE = """
import json, sys
import psutil
from api.wsgi import application
client = application.test_client()
client.get("/livez"), client.get("/openapi.json"), client.get("/docs/")
heavy = sorted({"torch", "transformers", "numpy", "onnxruntime", "workers"} & set(sys.modules))
print(json.dumps({"heavy": heavy, "rss_mb": psutil.Process().memory_info().rss / 1e6}))
"""


@pytest.fixture(scope="module")
def api_process() -> dict[str, object]:
    """Heavy modules and memory of a process that has built the API and answered requests."""
    environment = child_environment(VISION_REDIS_URL="redis://127.0.0.1:1/0")
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_AND_MEASURE],
        cwd=ROOT, env=environment, capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    return dict(json.loads(done.stdout))


def test_the_api_never_imports_torch_or_workers(api_process: dict[str, object]) -> None:
    assert api_process["heavy"] == []


def test_an_api_process_takes_less_than_120_mb(api_process: dict[str, object]) -> None:
    assert isinstance(api_process["rss_mb"], float)
    assert api_process["rss_mb"] < 120


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {OLLAMA}))
def test_each_family_names_a_class_that_exists(family: str) -> None:
    module, _, name = FAMILIES[family].target.partition(":")
    loaded = getattr(importlib.import_module(module), name)
    assert loaded.predict


def test_the_catalogue_of_the_project_is_valid_and_enables_all_three_tasks() -> None:
    catalog = Catalog.load(ROOT / "models.yaml")
    enabled = ("efficientnet-lite0", "opennsfw")
    plan = catalog.plan(catalog.defaults, "", "", enabled)
    assert {assignment.spec.name for assignment in plan} == set(enabled)
