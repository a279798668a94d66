"""Images of all kinds through the whole stack, and what becomes of those that cannot be read."""

from typing import Any

import pytest
import requests
from PIL import Image

from tests.conftest import data_url
from tests.shared.images.files import encode
from tests.stack import API, Stack


@pytest.fixture(scope="module")
def base(stack: Stack, api: str) -> str:
    stack.worker("fake")
    return api + API


def post(path: str, /, **body: Any) -> requests.Response:
    return requests.post(path, json=body, timeout=60)


def colour_of(reply: requests.Response) -> list[int]:
    """Return the mean colour that the fake model saw."""
    assert reply.status_code == 200, reply.text
    return [int(word) for word in reply.json()["result"]["caption"]["text"].split()[1:4]]


def test_a_photo_of_60_megapixels_is_judged_also_as_a_data_url_of_its_usual_size(base: str) -> None:
    photo = encode(Image.new("RGB", (9504, 6336), (200, 30, 60)), "JPEG") + bytes(40_000_000)
    reply = post(f"{base}/caption/fake", images=[data_url(photo)])
    assert colour_of(reply) == pytest.approx([200, 30, 60], abs=2)


def test_a_larger_png_is_413_and_says_what_to_do(base: str) -> None:
    photo = encode(Image.new("1", (9504, 6336)), "PNG")
    reply = post(f"{base}/caption/fake", images=[data_url(photo)])
    assert reply.status_code == 413
    assert "send it as a JPEG or smaller" in reply.json()["error"]
