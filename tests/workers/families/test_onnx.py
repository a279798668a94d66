"""Models in ONNX files: right answers, batches of any size, and rows that do not fit their file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper
from PIL import Image
from pydantic import ValidationError

from shared.model_spec import ModelSpec
from shared.tasks import FACE, LABELS, NSFW
from shared.tasks.nsfw import rescale_score
from tests import onnx_files
from tests.onnx_rows import COLOURS, SIDE, ZERO_TO_ONE, ask, load
from workers.model.family import LoadContext, LoadError, PartDamaged, load_model

PICTURES = [Image.new("RGB", (20, 30), colour) for colour in ("red", "lime", "blue", "red")]
RIGHT = ["red", "green", "blue", "red"]
IN_RGB = ("n", 3, SIDE, SIDE)
NHWC = ("n", SIDE, SIDE, 3)
TO_BYTES = TensorProto.UINT8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "labels.txt").write_text("\n".join(COLOURS) + "\n")
    (tmp_path / "pairs.txt").write_text("bad\ngood\n")
    return tmp_path


def labelled(folder: Path, model: ModelProto, **parameters: Any) -> list[str]:
    row = {**ZERO_TO_ONE, "labels_file": "labels.txt", **parameters}
    found = ask(load(folder, model, LABELS, files=["labels.txt"], **row), LABELS, PICTURES)
    return [result[LABELS][0].name for result in found]


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        pytest.param(onnx_files.colours(IN_RGB), {}, id="any batch"),
        pytest.param(onnx_files.colours((1, 3, SIDE, SIDE)), {}, id="batch of 1"),
        pytest.param(onnx_files.colours((3, 3, SIDE, SIDE)), {}, id="batch of 3"),
        pytest.param(onnx_files.colours(NHWC), {}, id="NHWC"),
        pytest.param(onnx_files.colours(("n", 3, "h", "w")), {"size": 16}, id="any size"),
        pytest.param(
            onnx_files.colours(("n", "c", "h", "w")), {"size": 9, "layout": "NHWC"}, id="any layout"
        ),
        pytest.param(onnx_files.colours(IN_RGB, dtype=TensorProto.FLOAT16), {}, id="float16"),
        pytest.param(
            onnx_files.colours(NHWC, dtype=TO_BYTES, scale=0.08), {"std": [1, 1, 1]}, id="uint8"
        ),
        pytest.param(onnx_files.quantised(), {}, id="int8"),
        pytest.param(onnx_files.colours(IN_RGB, classes=(2, 1, 0)), {"colours": "BGR"}, id="BGR"),
        pytest.param(onnx_files.colours(IN_RGB), {"activation": "sigmoid"}, id="sigmoid"),
        pytest.param(
            onnx_files.colours(IN_RGB, scale=1), {"activation": "none"}, id="no activation"
        ),
    ],
)
def test_a_classifier_names_the_colour_of_each_picture_of_a_batch(
    folder: Path, model: ModelProto, parameters: dict[str, Any]
) -> None:
    assert labelled(folder, model, **parameters) == RIGHT


def test_a_file_with_labels_may_begin_with_a_byte_order_mark(folder: Path) -> None:
    (folder / "labels.txt").write_text("\ufeff" + "\r\n".join(COLOURS), "utf-8")
    assert labelled(folder, onnx_files.colours(IN_RGB)) == RIGHT


def test_probabilities_are_those_of_the_declared_activation(folder: Path) -> None:
    (answer,) = ask(
        load(
            folder,
            onnx_files.colours(IN_RGB, scale=2),
            LABELS,
            files=["labels.txt"],
            labels_file="labels.txt",
            **ZERO_TO_ONE,
        ),
        LABELS,
        PICTURES[:1],
    )
    assert answer[LABELS][0].confidence == pytest.approx(np.exp(2) / (np.exp(2) + 2), abs=1e-4)


def test_a_model_of_imagenets_classes_needs_no_file_with_labels(folder: Path) -> None:
    """Classes 285, 504 and 999 are Egyptian cat, coffee mug and toilet tissue."""
    model = onnx_files.colours(IN_RGB, scale=50, classes=(285, 504, 999))
    found = ask(load(folder, model, LABELS, **ZERO_TO_ONE), LABELS, PICTURES[:2])

    names = [result[LABELS][0].name for result in found]
    assert names == ["Egyptian cat", "coffee mug"]
    assert "cat" in found[0][LABELS][0].categories


def test_an_nsfw_row_says_what_its_outputs_mean(folder: Path) -> None:
    """Red is unsafe; the model is certain of red with 0.5 and of the rest with 0.25 each."""
    model = onnx_files.colours(IN_RGB, scale=float(np.log(2)))
    ways: list[dict[str, Any]] = [
        {"unsafe": 0},
        {"nsfw": {0: "Porn", 1: "Neutral", 2: "Drawing"}},
        {
            "nsfw": {"red": "Porn", "green": "Neutral", "blue": "Neutral"},
            "labels_file": "labels.txt",
        },
    ]
    for way in ways:
        made = load(folder, model, NSFW, threshold=0.4, **way, **ZERO_TO_ONE)
        found = [result[NSFW][0] for result in ask(made, NSFW, PICTURES[:2])]
        assert [one.status for one in found] == ["unsafe", "safe"]
        assert [one.score for one in found] == pytest.approx([0.5, 0.25], abs=1e-4)
        assert {one.threshold for one in found} == {0.4}
        assert [one.porn for one in found] == pytest.approx([0.5, 0.25], abs=1e-4)

    made = load(folder, model, NSFW, neutral=1, **ZERO_TO_ONE)
    found = [result[NSFW][0] for result in ask(made, NSFW, PICTURES[:2])]
    assert [one.score for one in found] == pytest.approx([0.75, 0.5], abs=1e-4)

    made = load(folder, model, NSFW, unsafe=0, threshold=0.6, rescale=True, **ZERO_TO_ONE)
    ((verdict,),) = (result[NSFW] for result in ask(made, NSFW, PICTURES[:1]))
    assert verdict.score == pytest.approx(rescale_score(0.5, 0.6), abs=1e-4)


def test_a_face_gets_a_vector_of_length_one_or_none_at_all(folder: Path) -> None:
    black, grey = Image.new("RGB", (8, 8)), Image.new("RGB", (160, 160), "grey")
    model = load(folder, onnx_files.flat(IN_RGB), FACE)

    ((nothing,), (vector,)) = (result[FACE] for result in ask(model, FACE, [black, grey]))

    assert nothing == ()
    assert len(vector) == 1
    assert np.linalg.norm(vector[0]) == pytest.approx(1, abs=1e-9)
    assert vector[0] == pytest.approx([1 / np.sqrt(len(vector[0]))] * len(vector[0]))


@pytest.mark.parametrize(
    ("task", "meaning"),
    [(FACE, {}), (NSFW, {"unsafe": 0}), (LABELS, {"labels_file": "labels.txt"})],
)
def test_an_image_for_which_the_model_gives_no_numbers_has_no_answer(
    folder: Path, task: str, meaning: dict[str, Any]
) -> None:
    """0 / 0 for a black picture, and 1 for a white one."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Div", ["means", "means"], ["answer"]),
    ]
    model = load(folder, onnx_files.model(nodes, IN_RGB, ("n", 3)), task, **meaning)
    pictures = [Image.new("RGB", (8, 8), colour) for colour in ("black", "white")]

    black, white = (result[task] for result in ask(model, task, pictures))

    assert black != white
    assert black == () or black[0] == () or black[0].status == "unavailable"


ROWS: list[Any] = [
    pytest.param({"size": 16}, r"takes images of 8 x 8 pixels, not 16 x 16: correct", id="size"),
    pytest.param({"layout": "NHWC"}, "`layout` must be NCHW in the parameters", id="layout"),
    pytest.param({"resize": {"mode": "fit"}}, "which `fit` does not make", id="fit"),
    pytest.param({"resize": {"shortest_edge": 7}}, "it must be 8 at least", id="shortest"),
    pytest.param({"labels_file": "pairs.txt"}, "names 2 classes, but the model has 3", id="labels"),
    pytest.param({"labels_file": "none.txt"}, "none.txt cannot be read: .* in `files`", id="text"),
    pytest.param({"labels_file": ""}, "has 3 classes: name a file with their names", id="nameless"),
    pytest.param({"output": "logits"}, "Choose `output` from: answer", id="output"),
]


@pytest.mark.parametrize(("parameters", "said"), ROWS)
def test_a_row_that_does_not_fit_its_file_is_refused_with_what_to_do(
    folder: Path, parameters: dict[str, Any], said: str
) -> None:
    with pytest.raises(LoadError, match=said):
        labelled(folder, onnx_files.colours(IN_RGB), **parameters)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({}, "need one of `unsafe`"),
        ({"unsafe": 1, "neutral": 0}, "need one of `unsafe`"),
        ({"unsafe": 3}, "There is no class 3: the model has 3, from 0 on"),
        ({"nsfw": {0: "Porn"}}, r"must map each of \['0', '1', '2'\] to one of"),
        ({"nsfw": {0: "Porn", 1: "Fine", 2: "Neutral"}}, "must map each of"),
    ],
)
def test_an_nsfw_row_that_does_not_say_what_its_outputs_mean_is_refused(
    folder: Path, parameters: dict[str, Any], said: str
) -> None:
    with pytest.raises(LoadError, match=said):
        load(folder, onnx_files.colours(IN_RGB), NSFW, **parameters)


def of_any_size() -> ModelProto:
    return onnx_files.colours(("n", 3, "h", "w"))


def of_four_channels() -> ModelProto:
    return onnx_files.flat(("n", 4, SIDE, SIDE))


def of_vectors() -> ModelProto:
    return onnx_files.flat(("n", SIDE))


def of_another_size_inside() -> ModelProto:
    """Declares any size, but works for 4 x 4 only."""
    weights = np.ones((48, 3), np.float32)
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["answer"]),
    ]
    return onnx_files.model(nodes, ("n", 3, "h", "w"), ("n", 3), weights=weights)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (of_any_size, "takes images of any size: say in `size`"),
        (of_four_channels, "takes any x 4 x 8 x 8, which is not a batch of images with three"),
        (of_vectors, "is not a batch of images: it has 2 dimensions instead of 4"),
    ],
)
def test_a_file_that_leaves_open_what_it_takes_is_refused(
    folder: Path, make: Callable[[], ModelProto], said: str
) -> None:
    with pytest.raises(LoadError, match=said):
        load(folder, make(), FACE)


def test_a_file_that_fails_on_the_declared_size_is_refused_with_its_reason(folder: Path) -> None:
    assert ask(load(folder, of_another_size_inside(), FACE, size=4), FACE, PICTURES)
    with pytest.raises(LoadError, match=r"fails on images of 8 x 8 pixels: .* \(RuntimeError: "):
        load(folder, of_another_size_inside(), FACE, size=8)


def test_of_a_damaged_file_all_files_of_the_row_are_fetched_again(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"no protobuf")
    files = ("model.onnx", "labels.txt")
    spec = ModelSpec.model_validate({"name": "m", "family": "onnx", "files": files})

    with pytest.raises(PartDamaged, match=r"model\.onnx is damaged") as error:
        load_model(LoadContext(spec, folder, "cpu", 1))
    assert error.value.files == files


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"files": ["a.onnx", "b.onnx"]}, "name its ONNX file, and only one, in `files`"),
        ({"files": ["labels.txt"]}, "name its ONNX file, and only one, in `files`"),
        ({"parameters": {"package_file": "not_there/a.onnx"}}, "pip install not_there"),
        (
            {"files": ["a.onnx"], "parameters": {"package_file": "onnx/b.onnx"}},
            "leave one of them out",
        ),
        ({"parameters": {"package_file": "onnx/none.onnx"}}, "none.onnx is missing"),
    ],
)
def test_a_row_that_does_not_say_where_its_file_is_is_refused(
    folder: Path, row: dict[str, Any], said: str
) -> None:
    spec = ModelSpec.model_validate({"name": "m", "family": "onnx", **row})
    with pytest.raises(LoadError, match=said):
        load_model(LoadContext(spec, folder, "cpu", 1))


@pytest.mark.parametrize("name", ["/etc/passwd", "../model.onnx", "a/../../b", "."])
def test_files_outside_of_the_models_folder_cannot_be_named(name: str) -> None:
    with pytest.raises(ValidationError, match="is not a file inside the model's folder"):
        ModelSpec.model_validate({"name": "m", "family": "onnx", "files": [name]})
