"""Finding the models for a request in the catalogue."""

import pytest

from shared.catalog import Catalog
from shared.errors import NotOffered
from shared.settings import ROOT
from shared.tasks import CAPTION, LABELS, NSFW
from shared.tasks.registry import Task, task_names
from tests.shared.catalog_rows import CAPTIONER, GUARD, LABELLER
from tests.stack import CATALOG as TEST_CATALOG

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
def test_a_model_is_found_by_every_spelling_of_its_names(project: Catalog, spelling: str) -> None:
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
def test_the_names_of_the_previous_service_still_work(
    project: Catalog, name: str, model: str
) -> None:
    assert project.get(name).name == model


def test_an_unknown_model_is_refused_with_the_list_of_models(catalog: Catalog) -> None:
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
def test_an_available_version_is_found(catalog: Catalog, name: str, version: str) -> None:
    assert catalog.resolve(CAPTION, name, version, ALL).name == "writer"


@pytest.mark.parametrize(("name", "version"), [("writer", "1.0"), ("writer:1.0", "")])
def test_another_version_is_refused_with_the_available_one(
    catalog: Catalog, name: str, version: str
) -> None:
    with pytest.raises(NotOffered, match=r"writer is here in version '2\.1', not '1\.0'"):
        catalog.resolve(CAPTION, name, version, ALL)


def test_a_task_that_a_model_does_not_offer_is_refused_with_models_that_do(
    catalog: Catalog,
) -> None:
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
def test_without_a_name_the_first_enabled_model_of_the_preferred_ones_is_found(
    catalog: Catalog, task: Task, enabled: tuple[str, ...], model: str
) -> None:
    assert catalog.resolve(task, "", "", enabled).name == model


def test_without_preferences_the_first_enabled_model_with_the_task_is_found() -> None:
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
def test_a_plan_assigns_the_tasks_to_models(
    catalog: Catalog,
    tasks: tuple[Task, ...],
    name: str,
    enabled: tuple[str, ...],
    plan: dict[str, tuple[Task, ...]],
) -> None:
    assignments = catalog.plan(tasks, name, "", enabled)
    assert {one.spec.name: one.tasks for one in assignments} == plan


def test_a_plan_without_any_model_is_refused(catalog: Catalog) -> None:
    with pytest.raises(NotOffered):
        catalog.plan((NSFW, LABELS), "writer", "", ALL)


def test_unknown_names_are_models_of_ollama_if_they_are_passed_on() -> None:
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
def test_a_row_for_one_version_of_a_model_of_ollama_hides_no_other(
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
