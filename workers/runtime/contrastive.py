"""Models that compare pictures with texts: CLIP, SigLIP, and their kin in transformers."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that the field uses
from transformers import (
    MODEL_MAPPING,
    AutoImageProcessor,
    AutoModel,
    AutoTokenizer,
    PreTrainedTokenizerFast,
)

from workers.model import memory
from workers.model.checkpoint import TOKENIZER
from workers.model.family import LoadError
from workers.runtime.device import float_type
from workers.runtime.inputs import ImageInputs
from workers.runtime.patches import PatchInputs, makes_patches
from workers.runtime.pretrained import Pretrained

TEXTS_AT_ONCE = 32
PAIRS_IN_TRAINING = 32_768
"""Pictures and texts in a training batch of SigLIP and SigLIP 2, of which each fits one: section 4
of https://arxiv.org/abs/2303.15343 and section 2 of https://arxiv.org/abs/2502.14786."""
_NEEDED = ("get_text_features", "get_image_features")
_PRECISE = ("logit_scale", "logit_bias")
"""Two numbers that multiply and shift all scores, where bfloat16 is too coarse."""


class ContrastiveModel:
    """A checkpoint of a model that compares pictures with texts."""

    def __init__(self, pretrained: Pretrained) -> None:
        """Load the model, its tokenizer and its image processor.

        Raises:
            LoadError: it is no such model.
        """
        self._pretrained = pretrained
        _check_type(pretrained)
        self._tokenizer = pretrained.processor(_Tokenizer)
        processor = pretrained.processor(AutoImageProcessor)
        self.images: ImageInputs | PatchInputs = (
            PatchInputs(processor) if makes_patches(processor) else ImageInputs(processor)
        )
        self._model = pretrained.model(AutoModel, precise=_PRECISE)
        self.is_sigmoid = hasattr(self._model, "logit_bias")
        """Whether each text was trained to fit or not by itself, as SigLIP's are; otherwise one of
        all fits, as with CLIP."""

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str], report: Callable[[int], None]) -> torch.Tensor:
        """Return embeddings of length 1, (texts, width), float32, on the CPU.

        Args:
            texts: any.
            report: called with the number of texts that are done.
        """
        found = []
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            inputs = self._encoded(texts[start : start + TEXTS_AT_ONCE])
            pooled = self._model.get_text_features(**inputs).pooler_output
            found.append(F.normalize(pooled.float(), dim=-1).cpu())
            report(start + len(found[-1]))
        return torch.cat(found)

    def _encoded(self, texts: Sequence[str]) -> Mapping[str, torch.Tensor]:
        encoded = self._tokenizer(
            # SigLIP was trained with lower case, which not all of its published tokenizers enforce;
            # that of CLIP does so itself.
            [text.lower() for text in texts] if self.is_sigmoid else list(texts),
            # SigLIP takes the state of the last of all places, and attends to the padding.
            padding="max_length" if self.is_sigmoid else True,
            truncation=True,
            max_length=self._model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        )
        names = ("input_ids",) if self.is_sigmoid else ("input_ids", "attention_mask")
        return {name: encoded[name].to(self._pretrained.device) for name in names}

    def forget_texts(self) -> None:
        """Give up the part that reads texts, two thirds of a model that knows many languages."""
        self._model.text_model = None
        memory.release()

    @property
    def width(self) -> int:
        """Length of an embedding."""
        config = self._model.config
        if self.is_sigmoid:
            return int(config.text_config.projection_size)
        return int(config.projection_dim)

    @torch.inference_mode()
    def embed_images(self, images: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return embeddings of length 1, (images, width), float32, on the device."""
        device, dtype = self._pretrained.device, float_type(self._pretrained.dtype)
        inputs = self.images.model_inputs(images, device, dtype)
        pooled = self._model.get_image_features(**inputs).pooler_output
        return F.normalize(pooled.float(), dim=-1)

    @torch.inference_mode()
    def logits(self, images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        """Return the model's scores (images, texts), float32, for embeddings of both."""
        scores: torch.Tensor = self._model.logit_scale.float().exp() * images @ texts.t()
        if self.is_sigmoid:
            scores = scores + self._model.logit_bias.float()
        return scores


class _Tokenizer:
    """A tokenizer of transformers, or one of ``tokenizer.json`` alone.

    The class for SigLIP needs the package ``sentencepiece`` for what that file says as well.
    """

    @staticmethod
    def from_pretrained(folder: Path, **options: Any) -> Any:  # noqa: ANN401
        """Load the tokenizer in a folder."""
        try:
            return AutoTokenizer.from_pretrained(folder, **options)
        except ImportError:
            if not (folder / TOKENIZER).is_file():
                raise
            return PreTrainedTokenizerFast.from_pretrained(folder, **options)


def _check_type(pretrained: Pretrained) -> None:
    config = pretrained.config()
    kind = MODEL_MAPPING.get(type(config), None)
    if not all(hasattr(kind, name) for name in _NEEDED):
        raise LoadError(
            f"{pretrained.folder} holds a model of the type {config.model_type}, which does not "
            "compare pictures with texts: the family zero_shot is for CLIP, SigLIP, SigLIP 2 and "
            "MetaCLIP."
        )


def independent(logits: torch.Tensor, expected: float) -> torch.Tensor:
    """Return the probability of each label of SigLIP, given how many fit a picture.

    SigLIP's sigmoid is the probability that a text is the one of :data:`PAIRS_IN_TRAINING` that
    belongs to the picture. A label of a vocabulary fits more often. The odds change by the ratio of
    both prior odds (C. Elkan, "The foundations of cost-sensitive learning", 2001, theorem 2).

    Args:
        logits: (images, labels), as the model gives them.
        expected: number of labels of the vocabulary that fit a picture.
    """
    share = min(expected / logits.shape[1], 0.5)
    shift = math.log(share / (1 - share)) + math.log(PAIRS_IN_TRAINING - 1)
    return (logits + shift).sigmoid()


def exclusive(logits: torch.Tensor, background: torch.Tensor) -> torch.Tensor:
    """Return the probability of each label of CLIP, as one of all labels or of the background.

    It is the softmax at the trained temperature, which is calibrated well for CLIP (M. Minderer et
    al., "Revisiting the calibration of modern neural networks", 2021). Texts that fit any picture
    take what no label explains.

    Args:
        logits: (images, labels).
        background: (images, any number), of texts that fit any picture.
    """
    return torch.cat((logits, background), 1).softmax(-1)[:, : logits.shape[1]]
