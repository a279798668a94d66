"""Keys and values in tensors of fixed shape."""

import math
from typing import Any

import torch
from transformers import Cache, EncoderDecoderCache


class _Layer:
    """Keys and values of one layer."""

    keys: torch.Tensor
    values: torch.Tensor


class TextCache(Cache):
    """Keys and values of texts: room for ``length`` tokens of each row, written where it is said.

    The first call that writes allocates.
    """

    layers: Any  # transformers' type is for layers of its own

    def __init__(self, rows: int, length: int) -> None:
        """Prepare.

        Args:
            rows: most rows.
            length: most tokens of a row.
        """
        super().__init__(layers=[])
        self._rows, self._length = rows, length
        self.positions = torch.empty(0)
        """Where the next call writes, one index per token, int64."""

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *args: Any,  # noqa: ANN401 - as transformers calls it
        **kwargs: Any,  # noqa: ANN401
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write keys and values (rows, heads, tokens, width) at ``positions``.

        Returns:
            All of them, (rows, heads, length, width). What was not written yet must be masked.
        """
        del args, kwargs
        rows, heads, _tokens, width = key_states.shape
        while len(self.layers) <= layer_idx:
            layer = _Layer()
            shape = self._rows, heads, self._length, width
            layer.keys, layer.values = key_states.new_zeros(shape), value_states.new_zeros(shape)
            self.layers.append(layer)
        layer = self.layers[layer_idx]
        stored = layer.keys[:rows], layer.values[:rows]
        stored[0].index_copy_(2, self.positions, key_states)
        stored[1].index_copy_(2, self.positions, value_states)
        return stored

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return 0: callers say themselves where their tokens are."""
        del layer_idx
        return 0

    def reorder(self, sources: torch.Tensor) -> None:
        """Give each row the keys and values of another; ``sources`` (rows,), int64."""
        for layer in self.layers:
            for stored in (layer.keys[: len(sources)], layer.values[: len(sources)]):
                stored.copy_(stored.index_select(0, sources))


class ConversationCache(Cache):
    """Keys and values of conversations, whose prompts are as long as the longest of the batch.

    Each layer has one flat piece of memory, which serves many short conversations or few long ones.
    The first call that writes allocates.
    """

    def __init__(self, tokens: int) -> None:
        """Prepare for ``tokens`` of all rows together."""
        super().__init__(layers=[])
        self._tokens = tokens
        self._stored: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._rows = self._length = 0
        self.position: torch.Tensor | None = None
        """Where the next call writes its one token, (1,), int64; ``None``: it reads prompts."""

    def begin(self, rows: int, length: int) -> None:
        """Lay the memory out for ``rows`` of ``length`` tokens; prompts are read next."""
        self._rows, self._length, self.position = rows, length, None

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write keys and values (rows, heads, tokens, width).

        Returns:
            Those of prompts as they are; later all of them, (rows, heads, length, width), where
            what was not written yet must be masked.
        """
        del args, kwargs
        while len(self._stored) <= layer_idx:
            self._stored.append((self._flat(key_states), self._flat(value_states)))
        keys, values = self._stored[layer_idx]
        stored = self._laid_out(keys, key_states), self._laid_out(values, value_states)
        if self.position is None:
            for whole, part in zip(stored, (key_states, value_states), strict=True):
                whole[: len(part), :, : part.shape[2]].copy_(part)
            return key_states, value_states
        stored[0].index_copy_(2, self.position, key_states)
        stored[1].index_copy_(2, self.position, value_states)
        return stored

    def _flat(self, states: torch.Tensor) -> torch.Tensor:
        _rows, heads, _count, width = states.shape
        return states.new_zeros(self._tokens * heads * width)

    def _laid_out(self, flat: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        shape = self._rows, states.shape[1], self._length, states.shape[3]
        return flat[: math.prod(shape)].view(shape)


class _Used:
    """How many images the current batch has.

    Cache and layers share it. If layers knew their cache, both would be kept in a cycle, and the
    memory of all tensors until garbage is collected.
    """

    images = 0


class ImageCache(Cache):
    """Keys and values of images, which are computed once per batch. The first batch allocates."""

    layers: Any

    def __init__(self, images: int) -> None:
        """Prepare for ``images`` at most."""
        super().__init__(layers=[])
        self._images, self.used = images, _Used()

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store and return (images, heads, patches, width)."""
        del args, kwargs
        while len(self.layers) <= layer_idx:
            self.layers.append(_ImageLayer(self.used, key_states, value_states, self._images))
        layer = self.layers[layer_idx]
        layer.keys.copy_(key_states)
        layer.values.copy_(value_states)
        return layer.keys, layer.values


class _ImageLayer:
    """Keys and values of one layer; shows those of the current batch."""

    def __init__(self, used: _Used, keys: torch.Tensor, values: torch.Tensor, images: int) -> None:
        self._used = used
        self._keys = keys.new_zeros((images, *keys.shape[1:]))
        self._values = values.new_zeros((images, *values.shape[1:]))

    @property
    def keys(self) -> torch.Tensor:
        return self._keys[: self._used.images]

    @property
    def values(self) -> torch.Tensor:
        return self._values[: self._used.images]


class DecoderCache(EncoderDecoderCache):
    """What a decoder remembers of texts and images.

    Decoders that read images as part of the text use ``texts`` only.
    """

    def __init__(self, images: int, beams: int, length: int) -> None:
        """Prepare.

        Args:
            images: most images of a batch.
            beams: rows of text per image.
            length: most tokens of a row.
        """
        self.texts, self.images = TextCache(images * beams, length), ImageCache(images)
        super().__init__(self.texts, self.images)

    def begin(self, images: int) -> None:
        """Begin a batch: the next call computes the keys and values of its images."""
        self.images.used.images = images
        self.is_updated = {}
