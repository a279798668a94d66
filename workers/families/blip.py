"""BLIP."""

import re
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F  # noqa: N812 - the name that the field uses
from PIL import Image
from torch import nn
from transformers import AutoProcessor, BlipForConditionalGeneration

from shared.messages import Instructions
from shared.tasks import CAPTION
from shared.tasks.caption import Caption
from workers.model.family import Answer, LoadContext, PerImageModel
from workers.runtime import generation
from workers.runtime.device import DtypeName
from workers.runtime.generation import GenerationParameters
from workers.runtime.pretrained import Pretrained, pixels

LONGEST_PREFIX_WORDS = 6
_PREFIX = re.compile(
    r"(a|an|the|this|that|there|two|three|photo|photograph|photography|picture|image|close-?up)\b"
    r"[^.?!:;<>{}\[\]\n]*",
    re.IGNORECASE,
)


class Blip(PerImageModel):
    """Captions. A short prefix ("a photo of") is continued; any other prompt is left out.

    BLIP follows no instructions: it repeats them.
    """

    CPU_DTYPE: ClassVar[DtypeName] = "int8"

    def __init__(self, context: LoadContext) -> None:
        """Load model and processor."""
        self._defaults = GenerationParameters.model_validate(context.spec.parameters)
        self._pretrained = Pretrained(context, self._defaults, self.CPU_DTYPE)
        self._processor = self._pretrained.part(AutoProcessor)
        self._model = self._pretrained.model(BlipForConditionalGeneration)
        for layer in self._model.vision_model.encoder.layers:
            layer.self_attn = FusedAttention(layer.self_attn)

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """Return the image as (3, height, width)."""
        return pixels(self._processor.image_processor, image)

    @torch.inference_mode()
    def predict_images(
        self, images: Sequence[torch.Tensor], instructions: Instructions
    ) -> list[Answer]:
        """Caption each image."""
        tokenizer = self._processor.tokenizer
        text = {}
        if is_prefix(instructions.prompt):
            text = tokenizer([instructions.prompt.strip()] * len(images), return_tensors="pt")
            text = {name: text[name].to(self._pretrained.device) for name in _TEXT_INPUTS}
        generation.seed(instructions.options)
        tokens = self._model.generate(
            pixel_values=self._pretrained.batch(list(images)),
            **text,
            **generation.arguments(instructions.options, self._defaults, tokenizer),
        )
        texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [
            {CAPTION: Caption(text=generation.tidy(text, instructions.options))} for text in texts
        ]


class FusedAttention(nn.Module):
    """BLIP's attention to image patches by torch's one kernel, which transformers has not for BLIP.

    The same numbers; images take a quarter less time and a batch of them far less memory.
    """

    def __init__(self, attention: Any) -> None:  # noqa: ANN401 - BlipAttention is not typed
        """Take over the weights."""
        super().__init__()
        self._qkv, self._projection = attention.qkv, attention.projection
        self._heads, self._scale = attention.num_heads, attention.scale

    def forward(
        self,
        hidden_states: torch.Tensor,
        **_: Any,  # noqa: ANN401
    ) -> tuple[torch.Tensor, None]:
        """(N, patches, width) → (N, patches, width)."""
        n, patches, width = hidden_states.shape
        qkv = self._qkv(hidden_states).view(n, patches, 3, self._heads, width // self._heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, scale=self._scale)
        return self._projection(mixed.transpose(1, 2).reshape(n, patches, width)), None


def is_prefix(prompt: str) -> bool:
    """Say whether a prompt is the beginning of a caption and not an instruction."""
    prompt = prompt.strip()
    return len(prompt.split()) <= LONGEST_PREFIX_WORDS and bool(_PREFIX.fullmatch(prompt))


_TEXT_INPUTS = ("input_ids", "attention_mask")
