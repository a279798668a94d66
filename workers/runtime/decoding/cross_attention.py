"""How a model computes whose text decoder attends to the states of an image encoder."""

from collections.abc import Callable
from typing import Any

import torch

from workers.runtime.decoding.cache import DecoderCache


class CrossAttentionSteps:
    """A :class:`~workers.runtime.decoding.decoder.Decoder` of transformers' own parts."""

    def __init__(self, encode: Callable[[torch.Tensor], torch.Tensor], decoder: Any) -> None:  # noqa: ANN401 - not typed
        """Use the parts of a model.

        Args:
            encode: (images, 3, height, width) → (images, patches, width), as the decoder gets them.
            decoder: a language model of transformers with cross-attention.
        """
        self._encode, self._decoder = encode, decoder

    def begin(
        self, pixels: torch.Tensor, prompt: torch.Tensor, mask: torch.Tensor, cache: DecoderCache
    ) -> torch.Tensor:
        """Encode the images and read the beginning of the texts."""
        return self._decode(prompt, mask, cache, self._encode(pixels))

    def step(self, tokens: torch.Tensor, mask: torch.Tensor, cache: DecoderCache) -> torch.Tensor:
        """Read one token more."""
        # The states are in the cache already; only whether there are some matters.
        return self._decode(tokens, mask, cache, tokens)

    def _decode(
        self, tokens: torch.Tensor, mask: torch.Tensor, cache: DecoderCache, states: torch.Tensor
    ) -> torch.Tensor:
        logits: torch.Tensor = self._decoder(
            input_ids=tokens,
            position_ids=cache.texts.positions[None],
            attention_mask=mask,
            encoder_hidden_states=states,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        return logits[:, -1]
