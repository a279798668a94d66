"""Models of an image encoder and a text decoder, such as vit-gpt2."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from transformers import AutoImageProcessor, AutoTokenizer

from shared.messages import Instructions
from shared.tasks import CAPTION
from workers.model.family import Answer, LoadContext
from workers.runtime import generation
from workers.runtime.beams import SHARED, BeamsShareImages, ImageCache
from workers.runtime.captioning import CaptioningModel, caption_or_none
from workers.runtime.decoding.cross_attention import CrossAttentionSteps
from workers.runtime.decoding.decoder import StaticDecoder
from workers.runtime.device import DtypeName
from workers.runtime.generation import GenerationParameters
from workers.runtime.pretrained import Pretrained


class VisionEncoderDecoder(CaptioningModel):
    """Captions. Prompts are ignored: the model reads no text."""

    CPU_DTYPE: ClassVar[DtypeName] = "int8"

    def __init__(self, context: LoadContext) -> None:
        """Load encoder, decoder, tokenizer and image processor."""
        self._defaults = GenerationParameters.model_validate(context.spec.parameters)
        self._pretrained = Pretrained(context, self._defaults, self.CPU_DTYPE)
        images = self._pretrained.images(self._pretrained.processor(AutoImageProcessor))
        self.preparation, self.prepare = images.preparation, images.prepare
        self._tokenizer = self._pretrained.processor(AutoTokenizer)
        self._model = self._pretrained.model(BeamsShareImages)
        self._model.decoder.set_attn_implementation(SHARED)
        self._static = self._static_decoder()

    @torch.inference_mode()
    def generate(self, images: Sequence[torch.Tensor], instructions: Instructions) -> list[Answer]:
        """Caption each prepared image."""
        options = instructions.options
        room = generation.positions(self._model) - 1  # one is for the token that begins a text
        arguments = generation.arguments(options, self._defaults, self._decode, room)
        pixels = self._pretrained.batch(list(images))
        if self._static and generation.is_plain(arguments):
            start = self._model.generation_config.decoder_start_token_id
            tokens = self._static.generate(pixels, [start], arguments["max_new_tokens"]).tokens
        else:
            generation.seed(options)
            tokens = self._model.generate(pixels, past_key_values=ImageCache(), **arguments)
        self.steps += tokens.shape[1]
        texts = [generation.cut(text, options) for text in self._decode(tokens)]
        return [{CAPTION: caption_or_none(text)} for text in texts]

    def _static_decoder(self) -> StaticDecoder | None:
        steps = CrossAttentionSteps(self._encode, self._model.decoder)
        config, beams = self._model.generation_config, self._defaults.num_beams
        return generation.static_decoder(steps, config, self._defaults, self._pretrained, beams)

    def _encode(self, pixels: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self._model.encoder(pixels).last_hidden_state
        if hasattr(self._model, "enc_to_dec_proj"):
            states = self._model.enc_to_dec_proj(states)
        return states

    def _decode(self, tokens: torch.Tensor) -> list[str]:
        texts: list[str] = self._tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return texts
