"""NSFW scores through the real API, as PhotoPrism computes and reads them."""

from collections.abc import Sequence
from typing import Any

import pytest
import requests
from PIL import Image

from tests.conftest import data_url, png
from tests.nsfw_reference import SHAPES, photoprism_score, sample
from tests.photoprism_clients import INDEX, UPLOAD, flagged_by_class_scores, flagged_by_score
from tests.stack import API, Stack


@pytest.fixture(scope="module")
def url(stack: Stack, api: str) -> str:
    for model in ("opennsfw", "fake"):
        stack.worker(model)
    return f"{api}{API}/nsfw"


def verdicts(url: str, images: Sequence[Image.Image]) -> list[dict[str, Any]]:
    body = {"images": [data_url(png(image)) for image in images]}
    reply = requests.post(url, json=body, timeout=60)
    assert reply.status_code == 200, reply.text
    return list(reply.json()["result"]["nsfw"])


def test_scores_are_those_of_photoprisms_preprocessing_for_photos_of_any_shape(url: str) -> None:
    images = [make(sample("astronaut")) for make in SHAPES.values()]
    expected = [photoprism_score(image) for image in images]

    assert [found["score"] for found in verdicts(url, images)] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("red", "status", "flagged"),
    [
        # by the old client on upload and in the index, by the new one at 75 % and at 50 %
        (10, "safe", (False, False, False, False)),
        (140, "unsafe", (False, False, False, True)),
        (210, "unsafe", (True, False, True, True)),
        (253, "unsafe", (True, True, True, True)),
    ],
)
def test_old_and_new_clients_understand_a_model_that_gives_one_score(
    url: str, red: int, status: str, flagged: tuple[bool, ...]
) -> None:
    (found,) = verdicts(f"{url}/fake", [Image.new("RGB", (8, 8), (red, 0, 0))])

    assert (found["status"], found["threshold"]) == (status, 0.5)
    assert found["Porn"] == found["score"] == pytest.approx(red / 255, abs=0.0001)
    assert found["Neutral"] == pytest.approx(1 - found["score"])
    assert flagged == (
        flagged_by_class_scores(found, UPLOAD),
        flagged_by_class_scores(found, INDEX),
        flagged_by_score(found),
        flagged_by_score(found, percent=50),
    )


def test_harmless_photos_pass_with_all_clients(url: str) -> None:
    for found in verdicts(url, [sample(name) for name in ("cat", "coffee", "astronaut")]):
        assert not flagged_by_class_scores(found, UPLOAD)
        assert not flagged_by_score(found)
        assert not flagged_by_score(found, percent=33)
