"""Loading the catalogue, and errors in it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.catalog import Catalog
from shared.families import FAMILIES
from shared.model_spec import ModelSpec
from shared.settings import ROOT
from shared.tasks import LABELS
from shared.tasks.registry import task_names
from tests.shared.catalog_rows import CAPTIONER, GUARD


def write(folder: Path, content: Any) -> Path:
    path = folder / "models.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def test_the_projects_catalogue_offers_every_task() -> None:
    project = Catalog.load(ROOT / "models.yaml")
    offered = {task for spec in project.models for task in spec.tasks}

    assert offered == set(task_names())
    assert {spec.family for spec in project.models} <= FAMILIES.keys()


def test_three_lines_are_enough_for_a_model(tmp_path: Path) -> None:
    row = (
        "models:\n"
        "  - name: my-classifier\n"
        "    family: image_classification\n"
        "    source: google/vit-base-patch16-224\n"
    )

    spec = Catalog.load(write(tmp_path, row)).get("my-classifier")

    assert spec == ModelSpec(
        name="my-classifier",
        family="image_classification",
        source="google/vit-base-patch16-224",
        tasks=(LABELS,),
        version="latest",
        revision="main",
        folder="my-classifier",
        resolution=224,
    )
    assert (spec.limits.queue, spec.limits.timeout_s, spec.parameters) == (256, None, {})
    assert spec.queue == "vision.my-classifier"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        pytest.param({"models": [{**GUARD, "family": "yolo"}]}, "yolo", id="unknown-family"),
        pytest.param({"models": [{**GUARD, "family": ["blip"]}]}, "blip", id="family-is-a-list"),
        pytest.param({"models": [{"name": "guard"}]}, "family", id="no-family"),
        pytest.param({"models": [{"family": "blip"}]}, "name", id="no-name"),
        pytest.param({"models": [{**GUARD, "name": "A b"}]}, "models.0.name", id="bad-name"),
        pytest.param(
            {"models": [{**GUARD, "tasks": ["caption"]}]}, "guard: family", id="impossible-task"
        ),
        pytest.param({"models": [{**GUARD, "tasks": ["ocr"]}]}, "tasks.0", id="unknown-task"),
        pytest.param({"models": [{**GUARD, "tasks": []}]}, "guard: family", id="no-task"),
        pytest.param({"models": [{**GUARD, "sauce": "x"}]}, "sauce", id="misspelt-field"),
        pytest.param({"models": [GUARD, GUARD]}, "'guard'", id="duplicate-name"),
        pytest.param(
            {"models": [GUARD, {**CAPTIONER, "aliases": ["Guard"]}]},
            "writer and guard are both called 'guard'",
            id="duplicate-alias",
        ),
        pytest.param(
            {"models": [GUARD], "defaults": {"nsfw": {"prefer": ["gard"]}}},
            "'gard'",
            id="unknown-default",
        ),
        pytest.param(
            {"models": [GUARD], "defaults": {"labels": {"prefer": ["guard"]}}},
            "defaults.labels: guard",
            id="default-cannot-do-it",
        ),
        pytest.param(
            {"models": [GUARD], "defaults": {"ocr": {"prefer": ["guard"]}}},
            "defaults.ocr",
            id="default-of-unknown-task",
        ),
        pytest.param(
            {"models": [{**GUARD, "limits": {"timeout_s": 600}}]}, "timeout_s", id="limit-too-long"
        ),
        pytest.param({"models": []}, "models", id="no-models"),
        pytest.param([GUARD], "a valid dictionary", id="a-list"),
        pytest.param("", "a valid dictionary", id="empty-file"),
        pytest.param("models: [", "line 1", id="no-yaml"),
    ],
)
def test_an_error_names_the_file_and_the_fault(tmp_path: Path, content: Any, fault: str) -> None:
    path = write(tmp_path, content)

    with pytest.raises(ValueError, match="cannot read the catalogue") as caught:
        Catalog.load(path)

    assert str(path) in str(caught.value)
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        {"models": [{"name": "ollama", "parameters": {"hosts": [{"key": "secret"}]}}]},
        "models:\n- parameters: {hosts: [{key: secret}]",
    ],
)
def test_an_error_does_not_tell_a_key_that_is_in_the_file(tmp_path: Path, content: Any) -> None:
    with pytest.raises(ValueError, match="cannot read the catalogue") as caught:
        Catalog.load(write(tmp_path, content))

    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    path.write_bytes(b"\xff\xfe")

    with pytest.raises(ValueError, match=f"cannot read the catalogue {path}"):
        Catalog.load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.yaml.*No such file"):
        Catalog.load(tmp_path / "nowhere.yaml")
