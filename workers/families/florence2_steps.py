"""How Florence-2's text decoder computes in tensors of fixed shape."""

from typing import Any

import torch

from workers.runtime.decoding.cache import DecoderCache


class Florence2Steps:
    """A :class:`~workers.runtime.decoding.decoder.Decoder` of the layers of Florence-2's decoder.

    Its "pixels" are states that the encoder computed, (images, places, width): the encoder looks at
    values of tensors in float16, which cannot be recorded. So does the module around the layers,
    which counts tokens by itself.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - not typed
        """Use the layers of a Florence2ForConditionalGeneration."""
        self._decoder, self._head = model.model.language_model.decoder, model.lm_head

    def begin(
        self, pixels: torch.Tensor, prompt: torch.Tensor, mask: torch.Tensor, cache: DecoderCache
    ) -> torch.Tensor:
        """Read the beginning of the texts, and what the encoder says of the images."""
        return self._decode(prompt, mask, cache, pixels)

    def step(self, tokens: torch.Tensor, mask: torch.Tensor, cache: DecoderCache) -> torch.Tensor:
        """Read one token more."""
        return self._decode(tokens, mask, cache, None)

    def _decode(
        self,
        tokens: torch.Tensor,
        mask: torch.Tensor,
        cache: DecoderCache,
        encoded: torch.Tensor | None,
    ) -> torch.Tensor:
        decoder = self._decoder
        words = decoder.embed_tokens(tokens)
        table = decoder.embed_positions
        places = table.weight.index_select(0, cache.texts.positions + table.offset)
        states = decoder.layernorm_embedding(words + places)
        # Keys and values of the images are in the cache after the first call; then only whether
        # there are states matters.
        seen = states if encoded is None else encoded
        for layer in decoder.layers:
            states = layer(states, mask, seen, past_key_values=cache)
        logits: torch.Tensor = self._head(states[:, -1])
        return logits
