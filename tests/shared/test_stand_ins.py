"""Which requests mean the default models: those with the names of PhotoPrism's own models."""

import pytest

from shared.catalog import Catalog
from shared.errors import NotOffered
from shared.settings import ROOT
from shared.tasks import CAPTION, LABELS, NSFW
from shared.tasks.registry import Task, task_names
from tests.shared.catalog_rows import CAPTIONER, GUARD, LABELLER

ALL = ("writer", "sorter", "guard")
ALIASED_GUARD = {**GUARD, "aliases": ["guard-dog"]}


def catalog_of(**stands_in_for: list[str]) -> Catalog:
    defaults = {
        task: {"prefer": [], "stands_in_for": names} for task, names in stands_in_for.items()
    }
    return Catalog.model_validate(
        {"models": [CAPTIONER, LABELLER, ALIASED_GUARD], "defaults": defaults}
    )


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return catalog_of(labels=["nasnet", "repvit_m1_0"], nsfw=["nsfw"])


@pytest.mark.parametrize(
    ("task", "name", "version", "model"),
    [
        (LABELS, "nasnet", "latest", "sorter"),
        (LABELS, "NASNet", "", "sorter"),
        (LABELS, "nasnet:latest", "", "sorter"),
        (LABELS, "repvit-m1-0", "1.0", "sorter"),
        (NSFW, "nsfw", "latest", "guard"),
    ],
)
def test_photoprisms_built_in_names_mean_the_default(
    catalog: Catalog, task: Task, name: str, version: str, model: str
) -> None:
    assert catalog.resolve(task, name, version, ALL).name == model


def test_a_built_in_name_means_nothing_for_another_task(catalog: Catalog) -> None:
    with pytest.raises(NotOffered, match=r"no model 'nasnet'.*default model for labels"):
        catalog.resolve(CAPTION, "nasnet", "", ALL)


def test_a_built_in_name_of_two_tasks_means_the_defaults_of_both() -> None:
    catalog = catalog_of(labels=["all_in_one"], nsfw=["All-In-One"])

    plan = catalog.plan(task_names(), "all_in_one:latest", "", ALL)

    assert {part.spec.name: part.tasks for part in plan} == {"sorter": (LABELS,), "guard": (NSFW,)}


def test_the_entry_that_a_request_names_is_told_as_the_catalogue_spells_it(
    catalog: Catalog,
) -> None:
    found = {name: catalog.stand_in(name) for name in ("RepViT-M1-0:1.0", " nsfw ", "guard", "")}

    assert found == {"RepViT-M1-0:1.0": "repvit_m1_0", " nsfw ": "nsfw", "guard": "", "": ""}


@pytest.mark.parametrize("name", ["guard", "Guard_Dog"])
def test_a_stand_in_with_the_name_of_a_model_is_a_fault(name: str) -> None:
    with pytest.raises(ValueError, match=rf"nsfw\.stands_in_for: {name} is the name of .* guard,"):
        catalog_of(nsfw=["nsfw", name])


@pytest.mark.parametrize("name", ["nsfw_image_detector", "falconsai"])
def test_a_model_that_the_projects_catalogue_has_is_nobodys_stand_in(name: str) -> None:
    catalog = Catalog.load(ROOT / "models.yaml")

    assert catalog.stand_in(name) == ""
    assert catalog.resolve(NSFW, name, "", ("opennsfw",)).name == name
