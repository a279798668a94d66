"""Florence-2 through the real API, queue and worker: captions of three lengths, and labels."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.conftest import data_url, png
from tests.stack import API, running_stack
from tools.tiny_checkpoints.shapes import HELD_OUT_SEED, Picture, draw

pytestmark = pytest.mark.slow
MODEL = "florence2"
RED_CIRCLE = draw(HELD_OUT_SEED, colour="red", shape="circle")
BLUE_SQUARE = draw(HELD_OUT_SEED + 1, colour="blue", shape="square")
TEXTS = {
    "<CAPTION>": "{}",
    "a short caption": "{}",
    "<DETAILED_CAPTION>": "{}",
    "<MORE_DETAILED_CAPTION>": "{} on grey paper. the paper is empty",
    "Describe it with a paragraph.": "{} on grey paper. the paper is empty",
}
"""Captions by prompt. "The image shows", with which detailed ones begin, is cut off."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_stack(tmp_path_factory.mktemp("florence2"), VISION_MODELS=MODEL) as stack:
        stack.worker(MODEL)
        yield stack.api()


def result(base: str, task: str, picture: Picture, **body: Any) -> Any:
    path = f"{base}{API}/{task}/{MODEL}"
    images = [data_url(png(picture.image))]
    reply = requests.post(path, json={"images": images, **body}, timeout=60)
    assert reply.status_code == 200, reply.text
    return reply.json()["result"][task]


def test_each_of_many_clients_gets_a_caption_of_the_length_it_asked_for(base: str) -> None:
    asked = [(picture, prompt) for picture in (RED_CIRCLE, BLUE_SQUARE) for prompt in TEXTS]

    def caption(one: tuple[Picture, str]) -> str:
        return str(result(base, "caption", one[0], prompt=one[1])["text"]).lower()

    with ThreadPoolExecutor(len(asked)) as pool:
        found = list(pool.map(caption, asked))
    assert found == [TEXTS[prompt].format(picture.caption) for picture, prompt in asked]


def test_labels_are_the_things_in_a_picture_with_the_share_that_each_covers(base: str) -> None:
    found = result(base, "labels", RED_CIRCLE)
    assert {label["name"] for label in found} == {"circle", "red circle"}
    left, top, right, bottom = RED_CIRCLE.box
    share = (right - left) * (bottom - top)
    assert all(abs(label["topicality"] - share) < 0.1 for label in found)


def test_a_request_that_names_no_task_gets_caption_and_labels(base: str) -> None:
    body = {"images": [data_url(png(BLUE_SQUARE.image))]}
    reply = requests.post(f"{base}{API}", json=body, timeout=60)
    assert reply.status_code == 200, reply.text
    answer = reply.json()["result"]
    assert "a blue square" in answer["caption"]["text"].lower()
    assert {label["name"] for label in answer["labels"]} == {"square", "blue square"}
