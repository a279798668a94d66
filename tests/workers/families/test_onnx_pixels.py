"""What an ONNX model gets of an image is what its row declares, pixel by pixel.

The models give their input back as if it were a face's embedding, so all of it is seen.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto
from PIL import Image

from tests import onnx_files
from tests.inputs import prepared
from tests.onnx_rows import SHAPES, Declared, ask, load, photo, pixels, tensor
from workers.model.family import VisionModel

IMAGENET: dict[str, Any] = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}
PLAIN: dict[str, Any] = {"mean": [0.0] * 3, "std": [1.0] * 3}
CAFFE: dict[str, Any] = {"mean": [104.0, 117.0, 123.0], "std": [1.0] * 3, "colours": "BGR"}
RESIZES = [
    Declared("squash", (24, 16), Image.Resampling.BILINEAR),
    Declared("squash", (112, 112), Image.Resampling.LANCZOS),
    Declared("squash", (9, 9), Image.Resampling.NEAREST),
    Declared("letterbox", (20, 30), Image.Resampling.BICUBIC),
    Declared("letterbox", (40, 40), Image.Resampling.BILINEAR, fill=(114, 3, 250)),
    Declared("fit", (31, 17), Image.Resampling.BICUBIC),
    Declared("crop", (24, 24), Image.Resampling.BICUBIC, shortest=26),
    Declared("crop", (30, 20), Image.Resampling.BILINEAR, shortest=30),
]


def parameters(declared: Declared, layout: str, values: dict[str, Any]) -> dict[str, Any]:
    resize = {
        "mode": declared.mode,
        "interpolation": declared.filter.name.lower(),
        "fill": declared.fill,
        "shortest_edge": declared.shortest or None,
    }
    return {"size": declared.size, "resize": resize, "layout": layout, **values}


def gives_back(folder: Path, declared: Declared, layout: str, **values: Any) -> VisionModel:
    shape = ("n", 3, "h", "w") if layout == "NCHW" else ("n", "h", "w", 3)
    model = onnx_files.flat(shape)
    return load(folder, model, "face", **parameters(declared, layout, values))


def seen(model: VisionModel, image: Image.Image) -> np.ndarray:
    """Return the direction of what the model got."""
    ((embedding,),) = ask(model, "face", [image])[0]["face"]
    return np.array(embedding)


def expected(image: Image.Image, declared: Declared, layout: str, **values: Any) -> np.ndarray:
    bgr = values.pop("colours", "RGB") == "BGR"
    whole = tensor(pixels(image, declared), bgr=bgr, layout=layout, **values).ravel()
    return np.asarray(whole / np.linalg.norm(whole))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("declared", RESIZES, ids=lambda one: f"{one.mode}-{one.filter.name}")
def test_pixels_are_those_of_resizing_the_whole_image(
    tmp_path: Path, declared: Declared, shape: str
) -> None:
    image = photo(shape)
    found = prepared(gives_back(tmp_path, declared, "NCHW"), image)
    steps = np.abs(found.astype(int) - pixels(image, declared))

    # Of an image that becomes smaller, only what the crop leaves is computed, which Pillow may
    # begin with the other direction.
    is_cut = declared.mode == "crop" and min(image.size) > declared.shortest
    assert steps.max() <= (1 if is_cut else 0)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("values", [IMAGENET, PLAIN, CAFFE], ids=["imagenet", "plain", "caffe"])
@pytest.mark.parametrize("mode", ["squash", "letterbox", "fit"])
def test_values_are_normalised_in_the_declared_order_and_layout(
    tmp_path: Path, mode: str, values: dict[str, Any], layout: str
) -> None:
    declared = Declared(mode, (20, 12), Image.Resampling.BICUBIC, fill=(10, 20, 30))
    image = photo("landscape")
    found = seen(gives_back(tmp_path, declared, layout, **values), image)

    assert found == pytest.approx(expected(image, declared, layout, **values), abs=1e-7)


@pytest.mark.parametrize("shape", SHAPES)
def test_all_steps_together_are_those_of_the_reference(tmp_path: Path, shape: str) -> None:
    """As PhotoPrism declares EfficientFormerV2-S2, at a third of its size."""
    declared = Declared("crop", (74, 74), Image.Resampling.BICUBIC, shortest=78)
    image = photo(shape)
    found = seen(gives_back(tmp_path, declared, "NCHW", **IMAGENET), image)
    right = expected(image, declared, "NCHW", **IMAGENET)

    whole = tensor(pixels(image, declared), bgr=False, layout="NCHW", **IMAGENET)
    one_step = 1 / min(IMAGENET["std"]) / float(np.linalg.norm(whole))
    assert np.abs(found - right).max() <= 2.5 * one_step
    assert float(found @ right) > 0.9999


@pytest.mark.parametrize("dtype", [TensorProto.UINT8, TensorProto.FLOAT16])
def test_a_file_may_want_other_numbers_than_floats(tmp_path: Path, dtype: int) -> None:
    model = load(tmp_path, onnx_files.flat(("n", 8, 8, 3), dtype), "face")
    declared = Declared("crop", (8, 8), Image.Resampling.BICUBIC, shortest=8)
    image = photo("small")

    assert seen(model, image) == pytest.approx(expected(image, declared, "NHWC", **PLAIN), abs=1e-7)


@pytest.mark.parametrize(("declared", "black"), [({}, 0), ({"mean": [127.5] * 3}, -128)])
def test_numbers_beyond_those_that_a_file_can_take_are_the_nearest(
    tmp_path: Path, declared: dict[str, Any], black: int
) -> None:
    """White is 255 or 127.5, and signed bytes end at 127: a cast makes -1 or -128 of it."""
    model = load(
        tmp_path, onnx_files.flat((1, 3, 1, 2), TensorProto.INT8), "face",
        resize={"mode": "squash"}, **declared,
    )  # fmt: skip
    image = Image.new("RGB", (2, 1), "black")
    image.putpixel((1, 0), (255, 255, 255))
    values = np.array([black, 127] * 3)
    assert seen(model, image) == pytest.approx(values / np.linalg.norm(values), abs=1e-6)


def test_images_of_different_sizes_are_answered_in_order(tmp_path: Path) -> None:
    declared = Declared("fit", (16, 16), Image.Resampling.BICUBIC)
    model = gives_back(tmp_path, declared, "NCHW")
    images = [photo(shape) for shape in ("landscape", "portrait", "landscape", "square")]

    found = [result["face"][0][0] for result in ask(model, "face", images)]

    for image, embedding in zip(images, found, strict=True):
        right = expected(image, declared, "NCHW", **PLAIN)
        assert np.array(embedding) == pytest.approx(right, abs=1e-7)


@pytest.mark.parametrize("mode", ["squash", "letterbox", "fit", "crop"])
def test_a_large_jpeg_decoded_at_a_reduced_size_looks_the_same(tmp_path: Path, mode: str) -> None:
    large, file = photo("landscape").resize((1800, 1200)), io.BytesIO()
    large.save(file, "JPEG", quality=92)
    declared = Declared(mode, (224, 224), Image.Resampling.BICUBIC, shortest=224)
    model = gives_back(tmp_path, declared, "NCHW")

    found = prepared(model, file.getvalue()).astype(int)

    steps = np.abs(found - pixels(Image.open(file), declared))
    assert steps.mean() < 1
    assert np.quantile(steps, 0.999) <= 8
