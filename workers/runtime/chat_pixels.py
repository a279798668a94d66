"""From the frames of images to the inputs of models that chat, on their device.

Each function takes the frames of images, by conversation, the settings of the image processor and
what normalises pixels, and returns what an image processor of transformers returns.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import torch

from workers.preparing.layouts import Layout, Size

Settings = Mapping[str, Any]


class Frames(NamedTuple):
    """What a model sees of an image."""

    layout: Layout
    whole: Size
    """Width and height of the image before it was resized."""
    overview: torch.Tensor | None
    tiles: Sequence[torch.Tensor]
    """(height, width, 3) each, uint8, as is the overview."""

    def overview_first(self) -> list[torch.Tensor]:
        """Return all frames."""
        return [*self._overviews, *self.tiles]

    def overview_last(self) -> list[torch.Tensor]:
        """Return all frames."""
        return [*self.tiles, *self._overviews]

    @property
    def _overviews(self) -> list[torch.Tensor]:
        return [] if self.overview is None else [self.overview]


Nested = Sequence[Sequence[Frames]]


class Normaliser:
    """Scales 8-bit pixels as a model expects them, on its device."""

    def __init__(
        self,
        scale: Sequence[float],
        shift: Sequence[float],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        """Take what red, green and blue are multiplied by, and what is then added."""
        self.device, self.dtype = device, dtype
        self.step = max(scale)
        """The most by which values change if a colour changes by 1 of 255."""
        self._scale, self._shift = torch.tensor(scale).to(device), torch.tensor(shift).to(device)

    def moved(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return 8-bit pixels on the device."""
        if self.device.type == "cuda":  # without a copy to pinned memory by the driver
            pixels = pixels.contiguous().pin_memory()
        return pixels.to(self.device, non_blocking=True)

    def planes(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return normalised pixels.

        Args:
            pixels: 8-bit, on the device, with colours in the third dimension from the end.
        """
        return self._scaled(pixels, self._scale[:, None, None], self._shift[:, None, None])

    def interleaved(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return normalised pixels.

        Args:
            pixels: 8-bit, on the device; in the last dimension each third value is of one colour.
        """
        times = pixels.shape[-1] // len(self._scale)
        return self._scaled(pixels, self._scale.repeat(times), self._shift.repeat(times))

    def _scaled(
        self, pixels: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor
    ) -> torch.Tensor:
        # In place: on a CPU, one fused operation on mixed types takes twice as long as these three.
        values = pixels.to(torch.float32, memory_format=torch.contiguous_format)
        return values.mul_(scale).add_(shift).to(self.dtype)

    def stacked(self, frames: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return frames of one size, (height, width, 3) each, as (N, 3, height, width)."""
        return self.planes(self.moved(torch.stack(list(frames))).permute(0, 3, 1, 2))


def single_frames(images: Nested, _: Settings, normalise: Normaliser) -> dict[str, Any]:
    """SigLIP, LLaVA: (N, 3, height, width)."""
    return {"pixel_values": normalise.stacked([image.tiles[0] for image in _flat(images)])}


def without_crops(images: Nested, settings: Settings, normalise: Normaliser) -> dict[str, Any]:
    """Gemma 3: the same, and that none has been divided."""
    none = torch.tensor([0 for _ in _flat(images)])
    return single_frames(images, settings, normalise) | {"num_crops": none}


def counted_tiles(images: Nested, _: Settings, normalise: Normaliser) -> dict[str, Any]:
    """InternVL: the frames of all images one after the other, and how many each has."""
    frames = [image.overview_last() for image in _flat(images)]
    counts = torch.tensor([len(some) for some in frames])
    return {"pixel_values": normalise.stacked(list(chain(*frames))), "num_patches": counts}


def tiles_by_conversation(images: Nested, _: Settings, normalise: Normaliser) -> dict[str, Any]:
    """SmolVLM, Idefics 3: (conversations, frames, 3, height, width), padded with zeros."""
    frames = [[x for image in some for x in image.overview_last()] for some in images]
    most = max(map(len, frames))
    values = _padded(frames, normalise.stacked(list(chain(*frames))))
    is_there = torch.tensor([[n < len(some) for n in range(most)] for some in frames])
    mask = is_there.long().to(values.device)[:, :, None, None]
    grids = [[_grid(image.layout) for image in some] for some in images]
    return {
        "pixel_values": values,
        "pixel_attention_mask": mask.expand(-1, -1, *values.shape[3:]),
        "rows": [[rows for rows, _ in some] for some in grids],
        "cols": [[columns for _, columns in some] for some in grids],
    }


def _grid(layout: Layout) -> tuple[int, int]:
    return (layout.rows, layout.columns) if layout.overview else (0, 0)


def padded_tiles(images: Nested, _: Settings, normalise: Normaliser) -> dict[str, Any]:
    """LLaVA-NeXT, Granite: (images, frames, 3, height, width), padded with zeros."""
    frames = [image.overview_first() for image in _flat(images)]
    values = _padded(frames, normalise.stacked(list(chain(*frames))))
    sizes = torch.tensor([image.whole[::-1] for image in _flat(images)])
    return {"pixel_values": values, "image_sizes": sizes}


def _padded(frames: Sequence[Sequence[object]], values: torch.Tensor) -> torch.Tensor:
    """Return the values of frames, one after the other, as a row for each sequence of them."""
    most = max(map(len, frames))
    if len(frames) * most == len(values):
        return values.view(len(frames), most, *values.shape[1:])
    padded = values.new_zeros((len(frames), most, *values.shape[1:]))
    for row, some in zip(padded, torch.split(values, list(map(len, frames))), strict=True):
        row[: len(some)] = some
    return padded


def merged_patches(images: Nested, settings: Settings, normalise: Normaliser) -> dict[str, Any]:
    """Qwen: all patches of all images, those that become one token after each other."""
    side, merged, times = (
        settings[name] for name in ("patch_size", "merge_size", "temporal_patch_size")
    )
    frames = [image.tiles[0] for image in _flat(images)]
    grids = [(1, frame.shape[0] // side, frame.shape[1] // side) for frame in frames]
    counts = [high * wide for _, high, wide in grids]
    values = torch.empty((sum(counts), 3, times, side * side), device=normalise.device,
                         dtype=normalise.dtype)  # fmt: skip
    for rows, frame, (_, high, wide) in zip(
        torch.split(values, counts), frames, grids, strict=True
    ):
        cut = normalise.moved(frame)
        cut = cut.view(high // merged, merged, side, wide // merged, merged, side, 3)
        cut = cut.permute(0, 3, 1, 4, 6, 2, 5).reshape(high * wide, 3, 1, side * side)
        rows[:] = normalise.planes(cut)  # once for each of the times
    return {"pixel_values": values.flatten(1), "image_grid_thw": torch.tensor(grids)}


def padded_patches(images: Nested, settings: Settings, normalise: Normaliser) -> dict[str, Any]:
    """Gemma 4: (images, patches, values), padded with zeros, and where each patch is."""
    side, pooled = settings["patch_size"], settings["pooling_kernel_size"] ** 2
    most = settings["max_soft_tokens"] * pooled
    frames = [image.tiles[0] for image in _flat(images)]
    device = normalise.device
    values = torch.zeros((len(frames), most, side * side * 3), device=device, dtype=normalise.dtype)
    places, counts = torch.full((len(frames), most, 2), -1), []
    for row, frame in enumerate(frames):
        high, wide = frame.shape[0] // side, frame.shape[1] // side
        cut = normalise.moved(frame).view(high, side, wide, side, 3).transpose(1, 2)
        values[row, : high * wide] = normalise.interleaved(cut.reshape(high * wide, -1))
        places[row, : high * wide] = torch.cartesian_prod(*map(torch.arange, (high, wide))).flip(1)
        counts.append(high * wide // pooled)
    return {
        "pixel_values": values,
        "image_position_ids": places,
        "num_soft_tokens_per_image": torch.tensor(counts),
    }


def slices(images: Nested, settings: Settings, normalise: Normaliser) -> dict[str, Any]:
    """MiniCPM-V: the patches of all frames beside each other, (1, 3, side, all their widths)."""
    side = settings["patch_size"]
    values, sizes, grids, counts = [], [], [], []
    for image in _flat(images):
        for frame in image.overview_first():
            high, wide = frame.shape[0] // side, frame.shape[1] // side
            pixels = normalise.moved(frame).permute(2, 0, 1)
            rows = pixels.reshape(3, high, side, wide * side).transpose(1, 2)
            values.append(normalise.planes(rows.reshape(3, side, -1)))
            sizes.append((high, wide))
        layout = image.layout
        grids.append([layout.rows, layout.columns] if layout.overview else [0, 0])
        counts.append(len(layout.frames))
    return {
        "pixel_values": torch.cat(values, -1)[None],
        "target_sizes": torch.tensor(sizes, dtype=torch.int32),
        "grids": grids,
        "num_patches_per_image": counts,
    }


def _flat(images: Nested) -> Iterator[Frames]:
    return chain.from_iterable(images)
