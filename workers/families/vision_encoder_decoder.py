"""Models of an image encoder and a text decoder, such as vit-gpt2."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer

from shared.messages import Instructions
from shared.tasks import CAPTION
from workers.model.family import Answer, LoadContext
from workers.runtime import generation
from workers.runtime.beams import SHARED, BeamsShareImages, ImageCache
from workers.runtime.captioning import CaptioningModel, caption_or_none
from workers.runtime.device import DtypeName
from workers.runtime.generation import GenerationParameters
from workers.runtime.pretrained import Pretrained, pixels


class VisionEncoderDecoder(CaptioningModel):
    """Captions. Prompts are ignored: the model reads no text."""

    CPU_DTYPE: ClassVar[DtypeName] = "int8"

    def __init__(self, context: LoadContext) -> None:
        """Load encoder, decoder, tokenizer and image processor."""
        self._defaults = GenerationParameters.model_validate(context.spec.parameters)
        self._pretrained = Pretrained(context, self._defaults, self.CPU_DTYPE)
        self._image_processor = self._pretrained.processor(AutoImageProcessor)
        self._tokenizer = self._pretrained.processor(AutoTokenizer)
        self._model = self._pretrained.model(BeamsShareImages)
        self._model.decoder.set_attn_implementation(SHARED)

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """Return the image as (3, height, width), float32."""
        return pixels(self._image_processor, image)

    @torch.inference_mode()
    def generate(self, images: Sequence[torch.Tensor], instructions: Instructions) -> list[Answer]:
        """Caption each image; all are (3, height, width), float32."""
        options = instructions.options
        generation.seed(options)
        room = generation.positions(self._model) - 1  # one is for the token that begins a text
        tokens = self._model.generate(
            self._pretrained.batch(list(images)),
            past_key_values=ImageCache(),
            **generation.arguments(options, self._defaults, self._decode, room),
        )
        texts = [generation.cut(text, options) for text in self._decode(tokens)]
        return [{CAPTION: caption_or_none(text)} for text in texts]

    def _decode(self, tokens: torch.Tensor) -> list[str]:
        texts: list[str] = self._tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return texts
