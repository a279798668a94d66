"""BLIP: captions."""

import copy
import re
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F  # noqa: N812 - the name that the field uses
from torch import nn
from transformers import AutoProcessor, BlipForConditionalGeneration

from shared.messages import Instructions
from shared.tasks import CAPTION
from workers.model.family import Answer, LoadContext
from workers.runtime import generation
from workers.runtime.captioning import CaptioningModel, caption_or_none
from workers.runtime.decoding.cross_attention import CrossAttentionSteps
from workers.runtime.decoding.decoder import StaticDecoder
from workers.runtime.device import DtypeName
from workers.runtime.generation import GenerationParameters
from workers.runtime.pretrained import Pretrained

MAX_PREFIX_WORDS, MAX_PREFIX_CHARACTERS = 6, 200
_PREFIX = re.compile(
    r"(a|an|the|this|that|there|two|three|photo|photograph|photography|picture|image|close-?up)\b"
    r"[^.?!:;<>{}\[\]\n]*",
    re.IGNORECASE,
)
_TEXT_INPUTS = ("input_ids", "attention_mask")


class Blip(CaptioningModel):
    """Captions. A prompt that begins a caption ("a photo of") is continued; others are ignored.

    BLIP does not follow instructions, it repeats them.
    """

    CPU_DTYPE: ClassVar[DtypeName] = "int8"

    def __init__(self, context: LoadContext) -> None:
        """Load the model and its processor."""
        self._defaults = GenerationParameters.model_validate(context.spec.parameters)
        self._pretrained = Pretrained(context, self._defaults, self.CPU_DTYPE)
        self._processor = self._pretrained.processor(AutoProcessor)
        images = self._pretrained.images(self._processor.image_processor)
        self.preparation, self.prepare = images.preparation, images.prepare
        self._model = self._pretrained.model(BlipForConditionalGeneration)
        for layer in self._model.vision_model.encoder.layers:
            layer.self_attn = FusedAttention(layer.self_attn)
        self._static = self._static_decoder()

    @torch.inference_mode()
    def generate(self, images: Sequence[torch.Tensor], instructions: Instructions) -> list[Answer]:
        """Caption each prepared image."""
        options = instructions.options
        prefix = self._prefix(instructions.prompt)
        given = prefix["input_ids"].shape[1] - 1 if prefix else 1  # without the token that ends it
        room = generation.positions(self._model) - given
        arguments = generation.arguments(options, self._defaults, self._decode, room)
        pixels = self._pretrained.batch(list(images))
        if self._static and generation.is_plain(arguments):
            words = prefix["input_ids"][0, 1:-1].tolist() if prefix else []
            start = [self._model.config.text_config.bos_token_id, *words]
            new = self._static.generate(pixels, start, arguments["max_new_tokens"]).tokens
            tokens = torch.cat((torch.tensor([start]).expand(len(new), -1), new), 1)
        else:
            text = {name: prefix[name].repeat(len(images), 1) for name in prefix}
            generation.seed(options)
            tokens = self._model.generate(pixel_values=pixels, **text, **arguments)
        self.steps += tokens.shape[1] - given
        begun = len(self._decode(tokens[:1, :given])[0])
        texts = [
            text[:begun] + generation.cut(text[begun:], options) for text in self._decode(tokens)
        ]
        return [{CAPTION: caption_or_none(text, keep_opening=bool(prefix))} for text in texts]

    def _static_decoder(self) -> StaticDecoder | None:
        if self._defaults.num_beams > 1:  # each beam would need the image's states
            return None
        text = self._model.config.text_config
        config = copy.deepcopy(self._model.text_decoder.generation_config)
        # As BLIP's own `generate` says.
        config.eos_token_id, config.pad_token_id = text.sep_token_id, text.pad_token_id
        vision, decoder = self._model.vision_model, self._model.text_decoder
        steps = CrossAttentionSteps(lambda pixels: vision(pixels).last_hidden_state, decoder)
        return generation.static_decoder(steps, config, self._defaults, self._pretrained, beams=1)

    def _prefix(self, prompt: str) -> dict[str, torch.Tensor]:
        """Return the tokens of a prompt that begins a caption, (1, length); empty: it does not."""
        if not is_prefix(prompt):
            return {}
        tokens = self._processor.tokenizer([prompt.strip()], return_tensors="pt")
        if tokens["input_ids"].shape[1] > generation.positions(self._model) // 2:
            return {}
        return {name: tokens[name].to(self._pretrained.device) for name in _TEXT_INPUTS}

    def _decode(self, tokens: torch.Tensor) -> list[str]:
        texts: list[str] = self._processor.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return texts


class FusedAttention(nn.Module):
    """BLIP's attention between image patches in torch's fused kernel.

    transformers does not use it for BLIP. The result is the same; an image takes a quarter less
    time, and a batch far less memory.
    """

    def __init__(self, attention: Any) -> None:  # noqa: ANN401 - BlipAttention is not typed
        """Use the weights of transformers' layer."""
        super().__init__()
        self._qkv, self._projection = attention.qkv, attention.projection
        self._heads, self._scale = attention.num_heads, attention.scale

    def forward(
        self,
        hidden_states: torch.Tensor,
        **_: Any,  # noqa: ANN401
    ) -> tuple[torch.Tensor, None]:
        """Attend: (N, patches, width) → the same shape and dtype, and no attention weights."""
        n, patches, width = hidden_states.shape
        qkv = self._qkv(hidden_states).view(n, patches, 3, self._heads, width // self._heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, scale=self._scale)
        return self._projection(mixed.transpose(1, 2).reshape(n, patches, width)), None


def is_prefix(prompt: str) -> bool:
    """Return whether a prompt begins a caption and is not an instruction."""
    prompt = prompt.strip()
    is_short = len(prompt) <= MAX_PREFIX_CHARACTERS and len(prompt.split()) <= MAX_PREFIX_WORDS
    return is_short and bool(_PREFIX.fullmatch(prompt))
