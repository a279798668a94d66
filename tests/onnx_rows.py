"""Rows of the family ``onnx`` for models that tests make, and images prepared by hand."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from onnx import ModelProto
from PIL import Image

from shared.messages import Instructions, Result
from shared.model_spec import ModelSpec
from tests.inputs import prepared
from tests.stack import SAMPLES
from workers.model.family import LoadContext, PreparedJob, VisionModel, load_model

SIDE = 8
COLOURS = ("red", "green", "blue")
ZERO_TO_ONE: dict[str, Any] = {"std": [255, 255, 255]}

SHAPES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "landscape": lambda photo: photo,
    "portrait": lambda photo: photo.crop((100, 0, 300, photo.height)),
    "panorama": lambda photo: photo.crop((0, 100, photo.width, 130)),
    "square": lambda photo: photo.resize((64, 64)),
    "small": lambda photo: photo.resize((5, 7)),
    "one pixel": lambda photo: photo.resize((1, 1)),
}
"""Makes an image of each shape from a photo."""


def photo(shape: str) -> Image.Image:
    return SHAPES[shape](Image.open(SAMPLES / "coffee.jpg").convert("RGB"))


def load(
    folder: Path, model: ModelProto, task: str, *, files: Sequence[str] = (), **parameters: Any
) -> VisionModel:
    """Load a model as a row declares it."""
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    row = {
        "name": "m",
        "family": "onnx",
        "tasks": [task],
        "files": ["model.onnx", *files],
        "parameters": parameters,
    }
    return load_model(LoadContext(ModelSpec.model_validate(row), folder, "cpu", 1))


def ask(model: VisionModel, task: str, images: Sequence[Image.Image]) -> list[Result]:
    """Return the results of one job per image, all in one batch."""
    asked = Instructions(tasks=(task,))
    jobs = [PreparedJob([prepared(model, image)], asked) for image in images]
    return model.predict(jobs, max_images=len(images))


class Declared(NamedTuple):
    """What a row declares, for the reference."""

    mode: str
    size: tuple[int, int]
    filter: Image.Resampling
    shortest: int = 0
    fill: tuple[int, int, int] = (0, 0, 0)


def pixels(image: Image.Image, declared: Declared) -> np.ndarray:
    """Return what becomes of an image, all of which is resized: (height, width, 3), uint8."""
    width, height = declared.size
    if declared.mode == "squash":
        return np.asarray(image.resize((width, height), declared.filter))
    if declared.mode == "crop":
        factor = declared.shortest / min(image.size)
        resized = resize(image, factor, declared.filter)
        top, left = (resized.shape[0] - height) // 2, (resized.shape[1] - width) // 2
        return resized[top : top + height, left : left + width]
    resized = resize(image, min(width / image.width, height / image.height), declared.filter)
    if declared.mode == "fit":
        return resized
    box = np.empty((height, width, 3), np.uint8)
    box[:] = declared.fill
    top, left = (height - resized.shape[0]) // 2, (width - resized.shape[1]) // 2
    box[top : top + resized.shape[0], left : left + resized.shape[1]] = resized
    return box


def resize(image: Image.Image, factor: float, resample: Image.Resampling) -> np.ndarray:
    size = tuple(max(1, round(side * factor)) for side in image.size)
    return np.asarray(image.resize((size[0], size[1]), resample))


def tensor(
    rgb: np.ndarray, *, bgr: bool, mean: Sequence[float], std: Sequence[float], layout: str
) -> np.ndarray:
    """Return the input of a model for such pixels, value by value."""
    height, width, _ = rgb.shape
    shape = (3, height, width) if layout == "NCHW" else (height, width, 3)
    values = np.empty(shape, np.float64)
    for channel in range(3):
        source = rgb[:, :, 2 - channel if bgr else channel].astype(np.float64)
        normalised = (source - mean[channel]) / std[channel]
        if layout == "NCHW":
            values[channel] = normalised
        else:
            values[:, :, channel] = normalised
    return values
