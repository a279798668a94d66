"""Each status code: the reply is JSON with an id, the code and one sentence."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import pillow_heif
import pytest
import requests
from PIL import Image

from tests.conftest import data_url, plain, png, timm_checkpoint
from tests.stack import API, Stack


@pytest.fixture(scope="module")
def base(stack: Stack, api: str) -> str:
    stack.worker("fake")
    return api + API


def refused(reply: requests.Response, status: int) -> str:
    body = reply.json()
    assert reply.status_code == status, reply.text
    assert reply.headers["Content-Type"] == "application/json"
    assert body["code"] == status
    assert body["id"]
    assert "Traceback" not in reply.text
    return str(body["error"])


def post(path: str, /, **body: Any) -> requests.Response:
    return requests.post(path, json=body, timeout=60, allow_redirects=False)


def huge_png() -> bytes:
    """A PNG whose header says 20000 x 20000 pixels; it never has to be decoded."""
    header = struct.pack(">IIBBBBB", 20000, 20000, 1, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    ) + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))  # fmt: skip


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b"{", "not valid JSON", id="broken"),
        pytest.param(b"", "not valid JSON", id="empty"),
        pytest.param(b"[1]", "body", id="list"),
        pytest.param(b'{"images": "x"}', "images", id="string-for-list"),
        pytest.param(b'{"id": 5, "images": ["AA=="]}', "id", id="number-for-id"),
        pytest.param(b'{"images": []}', "no image", id="no-image"),
        pytest.param(b'{"images": ["?"]}', "base64", id="no-base64"),
        pytest.param(b'{"images": ["AA=="], "options": {"top_p": "high"}}', "top_p", id="option"),
    ],
)
def test_malformed_requests_are_400_and_the_message_names_the_error(
    base: str, body: bytes, words: str
) -> None:
    headers = {"Content-Type": "application/json"}
    reply = requests.post(f"{base}/caption/fake", data=body, headers=headers, timeout=10)
    assert words in refused(reply, 400)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        pytest.param("/caption/nobody", "vit-gpt2", id="model"),
        pytest.param("/caption/opennsfw", "Models that do: ", id="task-of-model"),
        pytest.param("/caption/fake/8", "'7'", id="version"),
        pytest.param("/smell/fake", "caption, labels, nsfw, face", id="task"),
        pytest.param("/caption/fake/7/more", "/<model>/<version>", id="too-deep"),
    ],
)
def test_what_is_unknown_is_404_and_the_message_names_what_exists(
    base: str, path: str, words: str
) -> None:
    assert words in refused(post(base + path, images=[data_url(plain(1))]), 404)


def test_wrong_method_is_405(base: str) -> None:
    reply = requests.delete(f"{base}/caption/fake", timeout=10)
    assert "not allowed" in refused(reply, 405)
    assert "POST" in reply.headers["Allow"]


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hello, I am no image", id="text"),
        pytest.param(b"\xff\xd8\xff\xe0junk", id="header-only"),
    ],
)
def test_what_is_not_an_image_is_422(base: str, image: bytes) -> None:
    refused(requests.post(f"{base}/caption/fake", files={"images": image}, timeout=10), 422)


def test_a_truncated_photo_is_422_and_says_so(base: str, cat: bytes) -> None:
    reply = post(f"{base}/caption/fake", images=[data_url(cat[: len(cat) // 2])])
    assert "truncated" in refused(reply, 422)


def test_too_many_pixels_are_413_before_anything_is_decoded(base: str) -> None:
    assert "pixels" in refused(post(f"{base}/caption/fake", images=[data_url(huge_png())]), 413)


def test_too_many_images_are_413(base: str) -> None:
    assert "16" in refused(post(f"{base}/nsfw/fake", images=[data_url(plain(1))] * 17), 413)


def test_a_huge_body_is_413(base: str) -> None:
    body = b'{"images": ["' + b"A" * 65_000_000 + b'"]}'
    headers = {"Content-Type": "application/json"}
    reply = requests.post(f"{base}/caption/fake", data=body, headers=headers, timeout=30)
    assert "too large" in refused(reply, 413)


def test_a_private_url_is_502_and_names_the_setting(base: str) -> None:
    reply = post(f"{base}/caption/fake", url="http://127.0.0.1:1/photo.jpg")
    assert "VISION_URL_ALLOW" in refused(reply, 502)


def test_a_model_without_workers_is_503_at_once(base: str) -> None:
    reply = post(f"{base}/caption/unserved", images=[data_url(plain(1))])
    assert "No worker serves unserved" in refused(reply, 503)
    assert int(reply.headers["Retry-After"]) > 0
    assert reply.elapsed.total_seconds() < 10  # VISION_RESTART_GRACE_S is twenty seconds


def test_a_model_that_cannot_be_loaded_is_503_with_the_reason(stack: Stack, base: str) -> None:
    stack.worker("broken")
    reply = post(f"{base}/caption/broken", images=[data_url(plain(1))])
    assert "the weights are corrupt" in refused(reply, 503)


@pytest.mark.slow
def test_a_model_of_timm_without_timm_is_503_with_the_advice(
    stack: Stack, base: str, tmp_path: Path
) -> None:
    timm_checkpoint(tmp_path / "of-timm")
    stack.another_worker("of-timm", VISION_MODELS_DIR=str(tmp_path))
    stack.wait_ready("of-timm")
    reply = post(f"{base}/labels/of-timm", images=[data_url(plain(1))])
    assert "install `timm` and the `torchvision`" in refused(reply, 503)


def test_a_model_that_raises_is_500_and_the_next_request_is_served(stack: Stack, base: str) -> None:
    stack.worker("delicate")
    reply = post(f"{base}/caption/delicate", images=[data_url(plain(240))])
    assert "failed on this request" in refused(reply, 500)
    assert post(f"{base}/caption/delicate", images=[data_url(plain(9))]).status_code == 200


def test_images_with_transparency_and_rotation_reach_the_model_upright(base: str) -> None:
    clear = png(Image.new("RGBA", (8, 8), (0, 0, 0, 0)))
    assert post(f"{base}/caption/fake", images=[data_url(clear)]).json()["result"]["caption"] == {
        "text": "rgb 255 255 255", "source": "image",
    }  # fmt: skip


def test_heic_is_understood(base: str) -> None:
    buffer = io.BytesIO()
    pillow_heif.register_heif_opener()
    Image.new("RGB", (64, 64), (0, 0, 0)).save(buffer, "HEIF")
    reply = post(f"{base}/caption/fake", images=[data_url(buffer.getvalue())])
    assert reply.json()["result"]["caption"]["text"] == "rgb 0 0 0"
