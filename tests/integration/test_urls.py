"""Images by URL through the whole stack, from a web server on loopback."""

import pytest
import requests

from tests.conftest import data_url
from tests.stack import API, Stack


@pytest.fixture(scope="module")
def base(stack: Stack) -> str:
    stack.worker("efficientnet-lite0")
    stack.worker("opennsfw")
    return stack.api(VISION_URL_ALLOW="127.0.0.0/8") + API


def first_label(reply: requests.Response) -> str:
    assert reply.status_code == 200, reply.text
    return str(reply.json()["result"]["labels"][0]["name"])


def test_a_get_has_the_url_of_its_photo_in_the_query(base: str, photos: str) -> None:
    query = {"url": f"{photos}/cat.jpg", "id": "photo-1"}
    reply = requests.get(f"{base}/labels", params=query, timeout=60)
    assert first_label(reply) == "cat"
    assert reply.json()["id"] == "photo-1"


def test_json_may_have_the_url_of_a_photo(base: str, photos: str) -> None:
    reply = requests.post(f"{base}/labels", json={"url": f"{photos}/cat.jpg"}, timeout=60)
    assert first_label(reply) == "cat"


def test_a_form_may_have_the_url_of_a_photo(base: str, photos: str) -> None:
    reply = requests.post(f"{base}/labels", data={"url": f"{photos}/coffee.jpg"}, timeout=60)
    assert first_label(reply) == "espresso"


def test_urls_and_other_images_keep_their_order(base: str, photos: str, cat: bytes) -> None:
    images = [f"{photos}/coffee.jpg", data_url(cat), f"{photos}/cat.jpg"]
    reply = requests.post(f"{base}/nsfw", json={"images": images}, timeout=60)
    coffee, sent, fetched = reply.json()["result"]["nsfw"]
    assert sent["score"] == fetched["score"] != coffee["score"]


def test_a_photo_that_the_server_does_not_have_is_502(base: str, photos: str) -> None:
    images = [f"{photos}/nowhere.jpg", f"{photos}/nor/here.jpg"]
    reply = requests.post(f"{base}/labels", json={"images": images}, timeout=60)
    assert reply.status_code == 502
    assert "404" in reply.json()["error"]


def test_a_photo_that_the_server_does_not_have_costs_the_others_nothing(
    base: str, photos: str, cat: bytes
) -> None:
    images = [f"{photos}/nowhere.jpg", data_url(cat)]
    reply = requests.post(f"{base}/labels", json={"images": images}, timeout=60)
    assert first_label(reply) == "cat"


def test_a_url_of_a_text_is_422(base: str, photos: str) -> None:
    reply = requests.get(f"{base}/labels", params={"url": f"{photos}/README.md"}, timeout=60)
    assert reply.status_code == 422
    assert reply.json()["code"] == 422
