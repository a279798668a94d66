"""Images of all kinds through the whole stack, and what becomes of those that cannot be read."""

from typing import Any

import pytest
import requests
from PIL import Image

from tests.conftest import data_url, plain
from tests.shared.images.corpus import CORPUS, Case
from tests.shared.images.files import encode
from tests.shared.images.fuzz import mutated_files
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


LARGE = encode(Image.new("1", (9504, 6336)), "PNG")


def cut_off(photo: bytes) -> str:
    """Return a photo that is whole in its header, so that only the worker sees the damage."""
    return data_url(photo[: len(photo) // 2])


@pytest.fixture(scope="module")
def bad_images(cat: bytes) -> dict[str, str]:
    return {
        "empty": "",
        "no-image": data_url(b"hello, I am no image"),
        "header-only": data_url(b"\xff\xd8\xff\xe0junk"),
        "cut-off": cut_off(cat),
        "too-many-pixels": data_url(LARGE),
        "no-base64": "?",
        "url": "http://127.0.0.1:1/photo.jpg",
    }


STATUSES = {
    "empty": 422, "no-image": 422, "header-only": 422, "cut-off": 422, "too-many-pixels": 413,
    "no-base64": 400, "url": 502,
}  # fmt: skip
SAFE, UNSAFE = data_url(plain(3)), data_url(plain(250))


@pytest.mark.parametrize("kind", STATUSES)
def test_nsfw_judges_the_others_and_says_why_one_is_unavailable(
    base: str, bad_images: dict[str, str], kind: str
) -> None:
    bad = bad_images[kind]
    reply = post(f"{base}/nsfw/fake", images=[SAFE, bad, UNSAFE, bad])

    assert reply.status_code == 200, reply.text
    verdicts = reply.json()["result"]["nsfw"]
    assert [verdict["status"] for verdict in verdicts] == [
        "safe", "unavailable", "unsafe", "unavailable",
    ]  # fmt: skip
    assert set(verdicts[1]) == {"status", "reason"}
    assert verdicts[1]["reason"].endswith(".")


@pytest.mark.parametrize("kind", STATUSES)
def test_labels_and_captions_go_on_without_a_bad_image(
    base: str, bad_images: dict[str, str], kind: str
) -> None:
    images = [bad_images[kind], SAFE, UNSAFE]
    result = post(f"{base}/labels/fake", images=images).json()["result"]
    assert [label["name"] for label in result["labels"]] == ["rgb 3 0 0", "rgb 250 0 0"]
    assert colour_of(post(f"{base}/caption/fake", images=images)) == [3, 0, 0]


@pytest.mark.parametrize("kind", STATUSES)
def test_without_a_good_image_the_fault_is_the_error(
    base: str, bad_images: dict[str, str], kind: str
) -> None:
    for images in ([bad_images[kind]], [bad_images[kind]] * 2):
        reply = post(f"{base}/nsfw/fake", images=images)
        assert reply.status_code == STATUSES[kind], reply.text
        assert reply.json()["error"].endswith(".")


def test_entries_keep_their_places_whoever_found_the_fault(
    base: str, bad_images: dict[str, str]
) -> None:
    images = [bad_images["cut-off"], "", UNSAFE, bad_images["cut-off"], "?", SAFE, ""]
    verdicts = post(f"{base}/nsfw/fake", images=images).json()["result"]["nsfw"]
    assert [(verdict["status"], verdict.get("reason", "")[:26]) for verdict in verdicts] == [
        ("unavailable", "The image cannot be decode"),
        ("unavailable", "The image is empty."),
        ("unsafe", ""),
        ("unavailable", "The image cannot be decode"),
        ("unavailable", "An image is neither a data"),
        ("safe", ""),
        ("unavailable", "The image is empty."),
    ]


def test_faults_that_api_and_worker_find_together_leave_no_image(
    base: str, bad_images: dict[str, str]
) -> None:
    reply = post(f"{base}/nsfw/fake", images=["", bad_images["cut-off"]])
    assert reply.status_code == 422


def test_an_empty_upload_among_others_is_unavailable(base: str) -> None:
    files = [("images", ("a.png", plain(3))), ("images", ("b.png", b""))]
    reply = requests.post(f"{base}/nsfw/fake", files=files, timeout=30)
    assert [verdict["status"] for verdict in reply.json()["result"]["nsfw"]] == [
        "safe", "unavailable",
    ]  # fmt: skip


def test_several_tasks_go_on_without_a_bad_image(base: str, bad_images: dict[str, str]) -> None:
    images = [bad_images["cut-off"], UNSAFE]
    result = post(base, model="fake", images=images).json()["result"]
    assert result["caption"]["text"] == "rgb 250 0 0"
    assert [verdict["status"] for verdict in result["nsfw"]] == ["unavailable", "unsafe"]


@pytest.mark.parametrize("path", ["generate", "chat"])
def test_own_models_go_on_without_a_bad_image_in_ollamas_api_too(
    api: str, base: str, bad_images: dict[str, str], path: str
) -> None:
    images = [image.rpartition(",")[2] for image in (bad_images["cut-off"], "", UNSAFE)]
    asked = {"images": images, "prompt": ""}
    body = asked if path == "generate" else {"messages": [{"role": "user", **asked}]}
    reply = post(f"{api}/api/{path}", model="fake", stream=False, **body).json()
    said = reply["response"] if path == "generate" else reply["message"]["content"]
    assert said == "rgb 250 0 0"


FORMATS_ONCE = {case.name.partition("-")[0]: case for case in reversed(CORPUS)}


@pytest.mark.parametrize("case", FORMATS_ONCE.values(), ids=FORMATS_ONCE)
def test_a_file_of_each_kind_reaches_the_model(base: str, case: Case) -> None:
    seen = colour_of(post(f"{base}/caption/fake", images=[data_url(case.make())]))
    mean = [sum(colour[band] for colour in case.quadrants) / 4 for band in range(3)]
    assert seen == pytest.approx(mean, abs=case.tolerance + 4)


def test_mutated_files_are_answered_and_never_an_error_of_ours(base: str) -> None:
    files = [data_url(file) for file in mutated_files(150, seed=5)]
    for start in range(0, len(files), 15):
        reply = post(f"{base}/nsfw/fake", images=[SAFE, *files[start : start + 15]])
        assert reply.status_code == 200, reply.text
        verdicts = reply.json()["result"]["nsfw"]
        assert len(verdicts) == 1 + len(files[start : start + 15])
        assert verdicts[0]["status"] == "safe"
        assert {verdict["status"] for verdict in verdicts} <= {"safe", "unsafe", "unavailable"}
