"""OpenNSFW on photos of all shapes, prepared as PhotoPrism prepares them for its own copy."""

from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

from shared.catalog import Catalog
from shared.messages import Instructions
from shared.settings import ROOT
from shared.tasks import NSFW
from shared.tasks.nsfw import Nsfw
from tests.inputs import prepared
from tests.nsfw_reference import NAMES, SHAPES, photoprism_score, sample
from tests.photoprism_clients import UPLOAD, flagged_by_class_scores, flagged_by_score
from workers.model.family import LoadContext, PreparedJob, VisionModel, load_model


def load(**parameters: Any) -> VisionModel:
    """Load the model of the project's catalogue, with other parameters if any are given."""
    row = Catalog.load(ROOT / "models.yaml").get("opennsfw")
    changed = {"parameters": {**row.parameters, **parameters}}
    return load_model(LoadContext(row.model_copy(update=changed), None, "cpu", 1))


@pytest.fixture(scope="module")
def model() -> VisionModel:
    return load()


def verdict(model: VisionModel, image: Image.Image) -> Nsfw:
    job = PreparedJob([prepared(model, image)], Instructions(tasks=(NSFW,)))
    ((found,),) = (result[NSFW] for result in model.predict([job], max_images=1))
    assert isinstance(found, Nsfw)
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "name", [NAMES[0], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[1:])]
)
def test_the_score_is_that_of_photoprisms_preprocessing(
    model: VisionModel, name: str, shape: str
) -> None:
    image = SHAPES[shape](sample(name))

    assert verdict(model, image).score == pytest.approx(photoprism_score(image), abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 20_000_000), (4_000_000, 3)])
def test_a_very_long_strip_is_judged_by_its_middle_and_does_not_become_huge(
    model: VisionModel, size: tuple[int, int]
) -> None:
    colour = sample("astronaut").resize((1, 1))
    strip = colour.resize(size)  # resized to 256 pixels wide, the first would take 4 TB

    assert verdict(model, strip).score == pytest.approx(verdict(model, colour).score, abs=0.01)


def test_the_sample_photos_are_safe_with_known_scores(model: VisionModel) -> None:
    found = [verdict(model, sample(name)) for name in NAMES]

    assert [one.score for one in found] == pytest.approx([0.0, 0.003, 0.016], abs=0.005)
    assert {(one.status, one.threshold) for one in found} == {("safe", 0.327)}


@pytest.mark.parametrize(("threshold", "status"), [(0.001, "unsafe"), (0.9, "safe")])
def test_a_row_may_set_the_threshold(threshold: float, status: str) -> None:
    found = verdict(load(threshold=threshold), sample("astronaut"))

    assert (found.status, found.threshold) == (status, threshold)


def test_a_row_may_have_the_scores_rescaled_for_clients_whose_limit_is_fixed() -> None:
    astronaut, coffee = (
        verdict(load(threshold=0.01, rescale=True), sample(name)).model_dump(
            mode="json", by_alias=True, exclude_none=True
        )
        for name in ("astronaut", "coffee")
    )

    assert (astronaut["status"], astronaut["threshold"]) == ("unsafe", 0.75)
    assert flagged_by_score(astronaut)
    assert flagged_by_class_scores(astronaut, UPLOAD)
    assert (coffee["status"], coffee["threshold"]) == ("safe", 0.75)
    assert not flagged_by_score(coffee)
    assert not flagged_by_class_scores(coffee, UPLOAD)


@pytest.mark.parametrize("parameters", [{"preprocessing": "yahoo"}, {"threshold": 1.5}])
def test_an_impossible_parameter_is_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(parameters))):
        load(**parameters)
