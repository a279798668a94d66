"""Any image classifier of transformers, for labels or as an NSFW detector."""

import re
from collections.abc import Mapping, Sequence

import torch
from pydantic import Field
from transformers import AutoImageProcessor, AutoModelForImageClassification

from shared.messages import Instructions
from shared.tasks import LABELS, NSFW
from shared.tasks.nsfw import DEFAULT_THRESHOLD
from shared.tasks.registry import Task
from workers.model.family import Answer, LoadContext, LoadError, PerImageModel
from workers.runtime.classes import (
    NSFW_CLASSES,
    Labeller,
    LabelParameters,
    NsfwParameters,
    nsfw_from_classes,
)
from workers.runtime.imagenet import readable_classes
from workers.runtime.pretrained import Pretrained, PretrainedParameters

_UNNAMED = re.compile(r"LABEL_\d+")
"""What transformers calls classes that a checkpoint does not name."""


class ClassifierParameters(PretrainedParameters, NsfwParameters):
    """The meaning of a checkpoint's classes."""

    labels: LabelParameters = LabelParameters()
    categories: Mapping[str, tuple[str, ...]] = Field(
        {}, description="class → its categories, from specific to general; the first is its kind"
    )
    nsfw: Mapping[str, str] = Field({}, description="class → Neutral, Drawing, Sexy, Hentai, Porn")
    threshold: float = Field(
        DEFAULT_THRESHOLD, ge=0, le=1, description="NSFW scores from here on are unsafe"
    )


class ImageClassification(PerImageModel):
    """Labels or NSFW scores, as the row's ``tasks`` say. Prompts are ignored: it reads no text."""

    def __init__(self, context: LoadContext) -> None:
        """Load the classifier and check the row's mapping against its classes.

        Raises:
            LoadError: the mapping does not match the classes, or a package is missing.
        """
        self._parameters = ClassifierParameters.model_validate(context.spec.parameters)
        self._pretrained = Pretrained(context, self._parameters)
        images = self._pretrained.images(self._pretrained.processor(AutoImageProcessor))
        self.preparation, self.prepare = images.preparation, images.prepare
        self._model = self._pretrained.model(AutoModelForImageClassification)
        self._names = _class_names(self._model.config.id2label, context)
        self._multi_label = self._model.config.problem_type == "multi_label_classification"
        if NSFW in context.spec.tasks:
            self._check_mapping()
        if LABELS in context.spec.tasks and all(map(_UNNAMED.fullmatch, self._names)):
            raise LoadError(
                f"config.json in {context.folder} does not name the {len(self._names)} classes of "
                "the model: `id2label` is missing, or has another length."
            )
        classes = readable_classes(self._names, self._parameters.categories)
        self._labeller = Labeller(classes, self._parameters.labels)

    @torch.inference_mode()
    def predict_images(
        self, images: Sequence[torch.Tensor], instructions: Instructions
    ) -> list[Answer]:
        """Classify each prepared image."""
        logits = self._model(self._pretrained.batch(list(images))).logits.float()
        probabilities = logits.sigmoid() if self._multi_label else logits.softmax(-1)
        return [self._answer(row, instructions) for row in probabilities.tolist()]

    def _answer(self, probabilities: list[float], instructions: Instructions) -> Answer:
        own = self._parameters
        answer: dict[Task, object] = {}
        if LABELS in instructions.tasks:
            answer[LABELS] = self._labeller.labels(probabilities)
        if NSFW in instructions.tasks:  # other rows need no mapping
            answer[NSFW] = nsfw_from_classes(
                probabilities, self._names, own.nsfw, own.threshold, rescale=own.rescale
            )
        return answer

    def _check_mapping(self) -> None:
        mapping = self._parameters.nsfw
        if set(mapping) != set(self._names) or not set(mapping.values()) <= NSFW_CLASSES:
            raise LoadError(
                f"`parameters.nsfw` must map each of {sorted(self._names)} to one of "
                f"{sorted(NSFW_CLASSES)}."
            )


def _class_names(id2label: Mapping[int, str], context: LoadContext) -> list[str]:
    """Return the names of the classes in the order of the model's outputs.

    Raises:
        LoadError: they are not numbered from 0 without a gap.
    """
    if sorted(id2label) != list(range(len(id2label))):
        raise LoadError(
            f"config.json in {context.folder} must number the classes in `id2label` from 0 on, "
            "without a gap."
        )
    return [str(id2label[index]) for index in range(len(id2label))]
