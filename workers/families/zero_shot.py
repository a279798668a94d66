"""Labels from any vocabulary, by models that compare pictures with texts: CLIP, SigLIP and kin."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import structlog
import torch
from pydantic import Field, field_validator

from shared.messages import Instructions
from shared.tasks import LABELS
from shared.tasks.labels import Label, merge_labels, without_kin
from workers.model.family import Answer, LoadContext, PerImageModel
from workers.runtime import text_embeddings
from workers.runtime.classes import Labeller, LabelParameters
from workers.runtime.contrastive import ContrastiveModel, exclusive, independent
from workers.runtime.imagenet import ImageNetClass
from workers.runtime.pretrained import Pretrained, PretrainedParameters
from workers.runtime.vocabulary import (
    BUILT_IN,
    PHOTOPRISM,
    Entry,
    find_vocabulary,
    photoprism_names,
)

log = structlog.get_logger(__name__)
TEMPLATES = ("a photo of {}",)
BACKGROUND = ("a photo", "a picture", "an image", "a photo of something", "a photo of nothing")
"""Texts that fit any picture."""
EXPECTED = 4.0
SIGMOID_LABELS = {"min_confidence": 0.5, "special_confidence": 0.0}
SOFTMAX_LABELS = {"special_confidence": 0.0}
"""Defaults of ``labels``. Every label of the vocabulary is one that somebody wants to see, so none
is replaced by its category merely because it is special."""


class ZeroShotParameters(PretrainedParameters):
    """What a zero-shot model looks for, and what it says of it."""

    vocabulary: str = Field(
        BUILT_IN, description="`photos`, or a file of the user's, absolute or in the models' folder"
    )
    templates: tuple[str, ...] = Field(
        TEMPLATES, min_length=1, description="texts with {} for a name; their mean is compared"
    )
    background: tuple[str, ...] = Field(
        BACKGROUND, description="texts that fit any picture; for CLIP only"
    )
    labels_per_picture: float = Field(
        EXPECTED, gt=0, description="how many labels of the vocabulary fit a picture; SigLIP only"
    )
    labels: Mapping[str, Any] = Field({}, description="how labels are chosen: LabelParameters")
    names: Literal["vocabulary", "photoprism"] = Field(
        "vocabulary", description="`photoprism`: as PhotoPrism's own models call things"
    )

    @field_validator("templates")
    @classmethod
    def _have_a_place(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        if any(template.count("{}") != 1 for template in templates):
            msg = "each template needs {} once, for the name"
            raise ValueError(msg)
        return templates


class ZeroShot(PerImageModel):
    """Labels from a vocabulary. Prompts are ignored: the vocabulary is what is looked for."""

    def __init__(self, context: LoadContext) -> None:
        """Load the model, and compute the embeddings of the vocabulary, or find them on disk.

        Raises:
            LoadError: the vocabulary or the checkpoint cannot be used.
        """
        own = self._parameters = ZeroShotParameters.model_validate(context.spec.parameters)
        pretrained = Pretrained(context, own)
        entries = find_vocabulary(own.vocabulary, pretrained.folder.parent)
        self._model = ContrastiveModel(pretrained)
        self.preparation, self.prepare = self._model.images.preparation, self._model.images.prepare
        background = () if self._model.is_sigmoid else own.background
        embeddings = self._embeddings(context, pretrained, entries, background)
        self._model.forget_texts()
        names = len(embeddings) - len(background)
        self._texts = embeddings[:names].to(pretrained.device)
        self._background = embeddings[names:].to(pretrained.device)
        self._owners = _owners(entries).to(pretrained.device)
        self._entries = len(entries)
        self._labeller = _labeller(entries, own.labels, is_exclusive=not self._model.is_sigmoid)
        self._renamed = photoprism_names() if own.names == PHOTOPRISM else {}

    @torch.inference_mode()
    def predict_images(
        self, images: Sequence[torch.Tensor], instructions: Instructions
    ) -> list[Answer]:
        """Compare each prepared image with the vocabulary."""
        del instructions
        embedded = self._model.embed_images(images)
        by_name = self._model.logits(embedded, self._texts)
        # A label fits as well as the best of its names.
        logits = by_name.new_full((len(images), self._entries), -torch.inf).scatter_reduce(
            1, self._owners.expand(len(images), -1), by_name, "amax"
        )
        if self._model.is_sigmoid:
            found = independent(logits, self._parameters.labels_per_picture)
        else:
            found = exclusive(logits, self._model.logits(embedded, self._background))
        return [{LABELS: self._answer(row)} for row in found.tolist()]

    def _answer(self, probabilities: Sequence[float]) -> tuple[Label, ...]:
        labels = self._labeller.labels(probabilities)
        if not self._renamed:
            return labels
        # Under other names, labels may be the same, or a category and what is below it.
        return without_kin(merge_labels(map(self._rename, labels)))

    def _rename(self, label: Label) -> Label:
        entry = self._renamed.get(label.name)
        if entry is None:
            return label
        return label.model_copy(update={"name": entry.name, "categories": entry.categories})

    def _embeddings(
        self,
        context: LoadContext,
        pretrained: Pretrained,
        entries: Sequence[Entry],
        background: Sequence[str],
    ) -> torch.Tensor:
        """Return embeddings of all names, in the order of the entries, and of the background."""
        templates = self._parameters.templates
        names = [name for entry in entries for name in entry.names]
        texts = [template.format(name) for template in templates for name in names]
        everything = [*texts, *background]

        def compute() -> torch.Tensor:
            log.info("embedding the vocabulary", labels=len(entries), texts=len(texts))
            of_all = self._model.embed_texts(
                everything,
                lambda done: context.report(f"reading the vocabulary: {done} of {len(everything)}"),
            )
            # The mean of all templates, as in section 3.1.4 of https://arxiv.org/abs/2103.00020.
            mean = of_all[: len(texts)].view(len(templates), len(names), -1).mean(0)
            mean = torch.nn.functional.normalize(mean, dim=-1)
            return torch.cat((mean, of_all[len(texts) :]))

        parts = (pretrained.dtype, str(len(templates)), *everything)
        shape = len(names) + len(background), self._model.width
        return text_embeddings.cached(pretrained.folder, parts, shape, compute)


def _owners(entries: Sequence[Entry]) -> torch.Tensor:
    """Return the index of the entry of each name, (names,), int64."""
    counts = torch.tensor([len(entry.names) for entry in entries])
    return torch.repeat_interleave(torch.arange(len(entries)), counts)


def _labeller(
    entries: Sequence[Entry], chosen: Mapping[str, Any], *, is_exclusive: bool
) -> Labeller:
    defaults = SOFTMAX_LABELS if is_exclusive else SIGMOID_LABELS
    values = {**defaults, **chosen}
    if not is_exclusive:  # a category is as probable as the best of its labels, and not more
        least = values["min_confidence"]
        values = {"category_confidence": least, "theme_confidence": least, **values}
    rules = LabelParameters.model_validate(values)
    classes = [ImageNetClass(entry.name, entry.categories, 0) for entry in entries]
    return Labeller(classes, rules, is_exclusive=is_exclusive)
