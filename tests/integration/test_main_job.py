"""The main job on real models: photos sent over HTTP are captioned, labelled and rated."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.conftest import data_url, shape
from tests.stack import API, Stack


def post(url: str, **body: Any) -> dict[str, Any]:
    reply = requests.post(url, json=body, timeout=90)
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


@pytest.fixture(scope="module")
def base(stack: Stack, api: str) -> str:
    stack.worker("efficientnet-lite0")
    stack.worker("opennsfw")
    return api + API


def test_labels_of_a_cat_are_a_cat(base: str, cat: bytes) -> None:
    reply = post(
        f"{base}/labels", images=[data_url(cat)], id="3f1e5b0a-0000-4000-8000-000000000001"
    )
    (label,) = reply["result"]["labels"]
    assert reply["id"] == "3f1e5b0a-0000-4000-8000-000000000001"
    assert reply["code"] == 200
    assert reply["model"] == {
        "type": "labels", "name": "efficientnet-lite0", "version": "0.1.0", "resolution": 224,
    }  # fmt: skip
    assert (label["name"], label["categories"]) == ("cat", ["animal"])
    assert label["confidence"] > 0.8
    assert list(reply["result"]) == ["labels"]


def test_labels_have_the_types_that_photoprisms_go_client_requires(base: str, cat: bytes) -> None:
    (label, *_) = post(f"{base}/labels", images=[data_url(cat)])["result"]["labels"]
    kinds = {name: type(value) for name, value in label.items()}
    assert kinds == {
        "name": str, "source": str, "priority": int, "confidence": float, "topicality": float,
        "categories": list,
    }  # fmt: skip


def test_nsfw_has_one_verdict_per_image(base: str, cat: bytes, coffee: bytes) -> None:
    reply = post(f"{base}/nsfw", images=[data_url(cat), data_url(coffee)])
    first, second = reply["result"]["nsfw"]
    assert (first["status"], second["status"]) == ("safe", "safe")
    assert 0 <= first["score"] < 0.001 < second["score"] < first["threshold"] == 0.327


def test_caption_is_an_object_and_says_that_it_is_made_of_labels(base: str, coffee: bytes) -> None:
    reply = post(f"{base}/caption", images=[data_url(coffee)])
    assert reply["result"]["caption"] == {
        "text": "espresso", "source": "image", "composed_from": "labels",
    }  # fmt: skip


def test_crops_of_one_photo_give_one_merged_list(base: str, cat: bytes, coffee: bytes) -> None:
    reply = post(f"{base}/labels", images=[data_url(cat), data_url(coffee), data_url(cat)])
    names = [label["name"] for label in reply["result"]["labels"]]
    assert len(names) == len(set(names))
    assert {"espresso", "cat"} <= set(names)
    assert names[0] == "espresso"  # the most confident


def test_the_base_path_does_every_task_by_its_default_model(base: str, cat: bytes) -> None:
    result = post(base, images=[data_url(cat)])["result"]
    assert result["caption"]["text"] == "cat"
    assert result["labels"][0]["name"] == "cat"
    assert result["nsfw"][0]["status"] == "safe"


def test_the_base_path_does_every_task_that_the_named_model_offers(base: str, cat: bytes) -> None:
    result = post(base, model="efficientnet-lite0", images=[data_url(cat)])["result"]
    assert set(result) == {"caption", "labels"}


@pytest.mark.parametrize(
    "path",
    [
        "/labels", "/labels/", "/labels/efficientnet-lite0", "/labels/efficientnet-lite0/",
        "/labels/efficientnet-lite0/0.1.0", "/labels/efficientnet-lite0/0.1.0/",
        "/labels/nasnet", "", "/", "//labels",
    ],
)  # fmt: skip
def test_each_path_answers_directly_without_redirect(base: str, cat: bytes, path: str) -> None:
    reply = requests.post(
        base + path, json={"images": [data_url(cat)]}, timeout=60, allow_redirects=False
    )
    assert reply.status_code == 200
    assert reply.json()["result"]["labels"][0]["name"] == "cat"


def test_multipart_upload_and_bare_base64_give_the_same(base: str, cat: bytes) -> None:
    upload = requests.post(f"{base}/labels", files={"images": cat}, timeout=60).json()
    bare = post(f"{base}/labels", images=[base64.b64encode(cat).decode()])
    assert upload["result"] == bare["result"]


@pytest.mark.parametrize(
    "model", ["vit-gpt2", *(pytest.param(n, marks=pytest.mark.slow) for n in ("blip", "kosmos-2"))]
)
def test_captions_name_the_right_shape(stack: Stack, base: str, model: str) -> None:
    stack.worker(model)
    reply = post(f"{base}/caption/{model}", images=[data_url(shape("red", "circle"))])
    assert reply["result"]["caption"]["text"].lower() == "a red circle"
    assert reply["model"]["name"] == model


def test_the_path_and_model_name_of_2024_still_return_a_caption(stack: Stack, base: str) -> None:
    stack.worker("vit-gpt2")
    url = f"{base}/describe/vit-gpt2-image-captioning/latest"
    reply = post(url, images=[data_url(shape("blue", "square"))])
    assert reply["result"]["caption"]["text"] == "a blue square"
    assert reply["model"]["name"] == "vit-gpt2"


@pytest.mark.slow
def test_kosmos_2_returns_the_objects_it_located_as_labels(stack: Stack, base: str) -> None:
    stack.worker("kosmos-2")
    reply = post(f"{base}/labels/kosmos-2", images=[data_url(shape("green", "cross"))])
    (label,) = reply["result"]["labels"]
    assert label["name"] == "green cross"
    assert label["confidence"] > 0.9
    assert 0.05 < label["topicality"] < 0.9


def test_concurrent_requests_get_their_own_results(stack: Stack, base: str) -> None:
    stack.worker("vit-gpt2")
    wanted = [(colour, kind) for colour in ("red", "blue") for kind in ("circle", "square")] * 4

    def caption(pair: tuple[str, str]) -> str:
        reply = post(f"{base}/caption/vit-gpt2", images=[data_url(shape(*pair))])
        return str(reply["result"]["caption"]["text"])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(caption, wanted)) == [f"a {colour} {kind}" for colour, kind in wanted]


def test_options_reach_the_model(stack: Stack, base: str) -> None:
    stack.worker("vit-gpt2")
    body = {
        "images": [data_url(shape("red", "circle"))],
        "options": {"stop": [" circle"], "temperature": 0, "num_ctx": 4096, "top_k": None},
        "prompt": "Describe the image in one sentence, please.",
    }
    assert post(f"{base}/caption/vit-gpt2", **body)["result"]["caption"]["text"] == "a red"


@pytest.mark.slow
def test_a_prompt_reaches_the_model_that_can_use_it(stack: Stack, base: str) -> None:
    stack.worker("blip")
    image = data_url(shape("blue", "square"))
    reply = post(f"{base}/caption/blip", images=[image], prompt="a red")
    assert reply["result"]["caption"]["text"].lower() == "a red square"


def test_a_literal_request_of_photoprism_is_understood(base: str, cat: bytes) -> None:
    body = json.dumps(
        {
            "id": "b0ff1e5c-7a0f-4a9e-9d6a-111111111111", "model": "nasnet", "version": "latest",
            "suffix": "", "stream": False, "images": [data_url(cat)], "options": None,
        }
    )  # fmt: skip
    headers = {"Content-Type": "application/json; charset=utf-8", "Authorization": "Bearer unused"}
    reply = requests.post(f"{base}/labels", data=body, headers=headers, timeout=60).json()
    assert reply["result"]["labels"][0]["name"] == "cat"
    assert reply["model"]["name"] == "efficientnet-lite0"
