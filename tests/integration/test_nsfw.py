"""NSFW scores through the real API, as PhotoPrism computes and reads them."""

from collections.abc import Sequence
from typing import Any

import pytest
import requests
from PIL import Image

from tests.conftest import data_url, png
from tests.nsfw_reference import SHAPES, photoprism_score, sample
from tests.stack import API, Stack


@pytest.fixture(scope="module")
def url(stack: Stack, api: str) -> str:
    stack.worker("opennsfw")
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
