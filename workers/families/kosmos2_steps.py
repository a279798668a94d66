"""How Kosmos-2 computes in tensors of fixed shape."""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that the field uses

from workers.runtime.decoding.cache import DecoderCache


class Kosmos2Steps:
    """A :class:`~workers.runtime.decoding.decoder.Decoder` of Kosmos-2's own layers.

    The model around the layers looks at values of tensors (for places of the image, and whether its
    table of positions is large enough), which cannot be recorded.
    """

    def __init__(self, model: Any, slots: torch.Tensor) -> None:  # noqa: ANN401 - not typed
        """Use the layers of a Kosmos2ForConditionalGeneration.

        Args:
            model: the model.
            slots: places of the image in each prompt, (slots,), int64.
        """
        self._model, self._text = model, model.text_model.model
        self._slots = slots
        # Positions count from the one after the padding's.
        self._first = self._text.embed_positions.padding_idx + 1

    def begin(
        self, pixels: torch.Tensor, prompt: torch.Tensor, mask: torch.Tensor, cache: DecoderCache
    ) -> torch.Tensor:
        """Encode the images, put them into the prompt, and read it."""
        seen = self._model.vision_model(pixels).last_hidden_state
        seen = F.normalize(self._model.vision_model.model.post_layernorm(seen), dim=-1)
        images, _ = self._model.image_to_text_projection(seen)
        words = self._text.embed_tokens(prompt)
        words = words.index_copy(1, self._slots, images.to(words.dtype))
        return self._decode(words, mask, cache)

    def step(self, tokens: torch.Tensor, mask: torch.Tensor, cache: DecoderCache) -> torch.Tensor:
        """Read one token more."""
        return self._decode(self._text.embed_tokens(tokens), mask, cache)

    def _decode(self, words: torch.Tensor, mask: torch.Tensor, cache: DecoderCache) -> torch.Tensor:
        table = self._text.embed_positions.weights
        places = table.index_select(0, cache.texts.positions + self._first).to(words.dtype)
        states = words * self._text.embed_scale + places
        for layer in self._text.layers:
            states = layer(states, mask, past_key_values=cache.texts)
        logits: torch.Tensor = self._model.text_model.lm_head(self._text.layer_norm(states[:, -1]))
        return logits
