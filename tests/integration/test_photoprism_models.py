"""PhotoPrism's own ONNX files served here, asked for on the wire as its newest client asks.

The files are stand-ins made here, of the same inputs and outputs. Their rows are those that the
documents tell users to write for PhotoPrism's own files.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import requests
import yaml
from onnx import ModelProto
from PIL import Image

from tests import onnx_files
from tests.conftest import png
from tests.onnx_rows import photo
from tests.photoprism_clients import (
    LABEL_MODELS,
    NSFW_MODELS,
    flagged_by_score,
    request_of,
    usable_embeddings,
)
from tests.stack import API, ROOT, running_stack

FILES: dict[str, ModelProto] = {
    # Classes of ImageNet: Egyptian cat, coffee mug, toilet tissue.
    "efficientformerv2_s2.onnx": onnx_files.colours(
        ("batch", 3, 224, 224), scale=10, classes=(285, 504, 999)
    ),
    # Red is unsafe: the third channel, as the input is BGR.
    "yahoo_open_nsfw.onnx": onnx_files.colours(
        (1, 3, 224, 224), scale=0.05, classes=(0, 2, 1), softmax=True
    ),
    "face_recognition_sface_2021dec.onnx": onnx_files.faces(),
}


def documented_rows() -> list[dict[str, Any]]:
    """Return the rows for PhotoPrism's files: two of the document, one of the catalogue."""
    text = (ROOT / "docs" / "models.md").read_text("utf-8")
    _, _, section = text.partition("## ONNX files")
    rows: list[dict[str, Any]] = yaml.safe_load(section.split("```")[1].removeprefix("yaml"))
    catalog = yaml.safe_load((ROOT / "models.yaml").read_text("utf-8"))
    faces = next(dict(row) for row in catalog["models"] if row["name"] == "sface")
    del faces["source"]
    return [*(row for row in rows if "source" not in row), {**faces, "aliases": ["facenet"]}]


ROWS = documented_rows()
DEFAULTS = {
    "labels": {"prefer": ["efficientformerv2"], "stands_in_for": list(LABEL_MODELS)},
    "nsfw": {"prefer": ["photoprism-nsfw"], "stands_in_for": list(NSFW_MODELS)},
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("photoprism")
    for row in ROWS:
        (folder / row["name"]).mkdir()
        for file in row["files"]:
            (folder / row["name"] / file).write_bytes(FILES[file].SerializeToString())
    catalog = folder / "models.yaml"
    catalog.write_text(yaml.safe_dump({"models": ROWS, "defaults": DEFAULTS}))
    environment = {
        "VISION_CATALOG": str(catalog),
        "VISION_MODELS_DIR": str(folder),
        "VISION_MODELS": ",".join(row["name"] for row in ROWS),
    }
    with running_stack(folder, **environment) as stack:
        for row in ROWS:
            stack.worker(row["name"])
        yield stack.api() + API


def ask(base: str, task: str, model: str, images: list[bytes], **fields: Any) -> dict[str, Any]:
    body = request_of(model, images, **fields)
    reply = requests.post(f"{base}/{task}", json=body, timeout=60)
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    assert (answer["id"], answer["code"]) == (body["id"], 200)
    return answer


def plain(colour: str, size: tuple[int, int] = (300, 200)) -> bytes:
    return png(Image.new("RGB", size, colour))


@pytest.mark.parametrize("model", LABEL_MODELS)
def test_labels_of_every_built_in_name_are_those_of_the_file(base: str, model: str) -> None:
    """One request has several crops of a photo, whose labels are merged."""
    reply = ask(base, "labels", model, [plain("red"), plain("lime"), plain("red")])

    assert reply["model"]["name"] == "efficientformerv2"
    assert {label["name"] for label in reply["result"]["labels"]} == {"Egyptian cat", "coffee mug"}
    for label in reply["result"]["labels"]:
        assert isinstance(label["priority"], int)
        assert isinstance(label["name"], str)
        assert all(0 <= label[name] <= 1 for name in ("confidence", "topicality"))
        assert all(isinstance(category, str) for category in label["categories"])


@pytest.mark.parametrize("model", NSFW_MODELS)
def test_nsfw_scores_of_every_built_in_name_are_one_per_image_in_order(
    base: str, model: str
) -> None:
    images = [plain("red"), plain("blue"), b"", plain("white"), plain("red", (224, 300))]
    reply = ask(base, "nsfw", model, images)

    found = reply["result"]["nsfw"]
    assert reply["model"]["name"] == "photoprism-nsfw"
    assert [one["status"] for one in found] == ["unsafe", "safe", "unavailable", "safe", "unsafe"]
    assert [flagged_by_score(one, percent=80) for one in found] == [True, False, False, False, True]


def expected(image: Image.Image) -> np.ndarray:
    """Return the embedding of a face by hand: means of squares of 14 pixels, to length 1."""
    pixels = np.asarray(image.resize((112, 112), Image.Resampling.LANCZOS), np.float64)
    means = pixels.reshape(8, 14, 8, 14, 3).mean((1, 3)).transpose(2, 0, 1).ravel()[:128]
    return np.asarray(means / np.linalg.norm(means))


FACES = [photo("square").resize((160, 160)).rotate(angle) for angle in (0, 90, 180)]


@pytest.mark.parametrize("model", ["sface", "SFace", "facenet"])
def test_each_face_gets_the_vector_of_its_own_crop(base: str, model: str) -> None:
    reply = ask(base, "face", model, [png(face) for face in FACES])

    assert reply["model"] == {
        "type": "face", "name": "sface", "version": "latest", "resolution": 112
    }  # fmt: skip
    assert list(reply["result"]) == ["embeddings"]
    found = usable_embeddings(reply, len(FACES), configured="sface")
    for face, vector in zip(FACES, found, strict=True):
        assert vector == pytest.approx(expected(face), abs=1e-5)


def test_bad_crops_leave_the_others_at_their_places(base: str) -> None:
    """PhotoPrism sends an empty string for a face that it could not cut out."""
    first, second, third = (png(face) for face in FACES)
    crops = [b"", first, second[:-40], b"no image", plain("black", (160, 160)), third]
    reply = ask(base, "face", "sface", crops)

    assert [len(entry) for entry in reply["result"]["embeddings"]] == [0, 1, 0, 0, 0, 1]
    found = usable_embeddings(reply, len(crops), configured="sface")
    assert [vector is not None for vector in found] == [False, True, False, False, False, True]
    assert found[1] == pytest.approx(expected(FACES[0]), abs=1e-5)
    assert found[5] == pytest.approx(expected(FACES[2]), abs=1e-5)


def test_vectors_of_another_model_than_the_clients_are_not_taken(base: str) -> None:
    reply = ask(base, "face", "facenet", [png(FACES[0])])

    assert usable_embeddings(reply, 1, configured="facenet") == [None]


def test_a_photo_of_many_people_is_one_request(base: str) -> None:
    crops = [png(FACES[number % 3].resize((40, 40))) for number in range(60)]
    found = usable_embeddings(ask(base, "face", "sface", crops), 60, configured="sface")

    for number, vector in enumerate(found):
        assert vector == pytest.approx(found[number % 3], abs=1e-6)
    assert found[0] != pytest.approx(found[1], abs=1e-3)


@pytest.mark.parametrize("images", [[], [b""], [b"no image"]])
def test_without_any_crop_that_can_be_read_the_status_says_so(
    base: str, images: list[bytes]
) -> None:
    reply = requests.post(f"{base}/face", json=request_of("sface", images), timeout=60)

    assert reply.status_code in (400, 422)
    assert reply.json()["error"]


def test_a_face_model_that_is_not_here_is_not_found_and_it_is_said_what_to_do(base: str) -> None:
    reply = requests.post(f"{base}/face", json=request_of("auraface", [b"x"]), timeout=60)

    assert reply.status_code == 404
    assert "There is no model 'auraface'" in reply.json()["error"]
    assert "run a face model: see `Faces` in docs/models.md" in reply.json()["error"]


def test_faces_are_not_looked_for_where_no_task_is_named(base: str) -> None:
    reply = ask(base, "", "", [plain("red")])

    assert set(reply["result"]) == {"labels", "nsfw"}


def test_other_clients_get_faces_as_text_or_data(base: str) -> None:
    image = request_of("", [png(FACES[0])])["images"][0].partition(",")[2]
    body = {"model": "sface", "prompt": "who?", "images": [image], "stream": False}
    url = base.removesuffix(API) + "/api/generate"

    said = requests.post(url, json=body, timeout=60).json()["response"]
    data = requests.post(url, json={**body, "format": "json"}, timeout=60).json()["response"]

    assert said == "1 of 1 faces embedded"
    assert len(yaml.safe_load(data)["face"][0][0]) == 128


def test_the_document_shows_the_form_of_embeddings(base: str) -> None:
    document = requests.get(base.removesuffix(API) + "/openapi.json", timeout=10).json()
    result = document["components"]["schemas"]["Result"]["properties"]

    assert "face" not in result
    assert result["embeddings"]["items"]["items"]["items"] == {"type": "number"}
