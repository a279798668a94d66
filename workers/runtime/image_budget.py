"""How many tokens an image may take: one limit in pixels, in the words of each type.

Types tile, scale or pool images, and each names its limit differently. A type that is not known
here gets images of at most that many pixels, from which it makes as many tokens as it likes.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

Settings = dict[str, Any]
"""Attributes of an image processor."""
SOFT_TOKENS = (70, 140, 280, 560, 1120)
"""What Gemma 4 was trained with."""


def limits(processor: Any, max_pixels: int) -> Settings:  # noqa: ANN401 - not typed
    """Return the settings with which an image processor makes no more of an image.

    Args:
        processor: an image processor of transformers, as the checkpoint configures it.
        max_pixels: the limit; a type whose least is more keeps to its least.
    """
    return next((found for rule in _RULES if (found := rule(processor, max_pixels))), {})


def _soft_tokens(processor: Any, max_pixels: int) -> Settings:  # noqa: ANN401
    """Gemma 4: each token is a square of patches."""
    now = getattr(processor, "max_soft_tokens", None)
    if not now:
        return {}
    side = processor.patch_size * processor.pooling_kernel_size
    fitting = [count for count in SOFT_TOKENS if count <= min(now, max_pixels // side**2)]
    return {"max_soft_tokens": max(fitting, default=min(now, SOFT_TOKENS[0]))}


def _tiles_of_longest_edge(processor: Any, max_pixels: int) -> Settings:  # noqa: ANN401
    """SmolVLM, Idefics 3: enlarges any image to its longest edge, and divides it into tiles."""
    tile = _size(processor, "max_image_size").get("longest_edge")
    now = _size(processor, "size").get("longest_edge")
    if not tile or not now:
        return {}
    per_side = max(1, math.isqrt(max_pixels) // tile)
    return {"size": {"longest_edge": min(now, per_side * tile)}}


def _pixels(processor: Any, max_pixels: int) -> Settings:  # noqa: ANN401
    """Qwen, GLM: scales to a range of pixels."""
    size = _size(processor, "size")
    if not hasattr(processor, "merge_size") or "longest_edge" not in size:
        return {}
    least = size.get("shortest_edge") or 1
    return {
        "size": {
            "shortest_edge": least,
            "longest_edge": max(least, min(size["longest_edge"], max_pixels)),
        }
    }


def _grid(processor: Any, max_pixels: int) -> Settings:  # noqa: ANN401
    """LLaVA-NeXT, LLaVA-OneVision, Granite: fits an image into one of some grids of tiles."""
    grids = getattr(processor, "image_grid_pinpoints", None)
    if not grids:
        return {}
    fitting = [grid for grid in grids if math.prod(grid) <= max_pixels]
    return {"image_grid_pinpoints": fitting or [min(grids, key=math.prod)]}


def _patches(processor: Any, max_pixels: int) -> Settings:  # noqa: ANN401
    """InternVL, Aya, Ovis: divides an image into tiles of the same size."""
    size = _size(processor, "size")
    if not getattr(processor, "max_patches", None) or "height" not in size:
        return {}
    tiles = max(1, max_pixels // (size["height"] * size["width"]))
    most = min(processor.max_patches, tiles)
    return {"max_patches": most, "min_patches": min(processor.min_patches, most)}


def _slices(processor: Any, max_pixels: int) -> Settings:  # noqa: ANN401
    """MiniCPM-V: divides an image into slices of about the same size."""
    now = getattr(processor, "max_slice_nums", None)
    if not now:
        return {}
    return {"max_slice_nums": max(1, min(now, max_pixels // processor.scale_resolution**2))}


_RULES: tuple[Callable[[Any, int], Settings], ...] = (
    _soft_tokens, _tiles_of_longest_edge, _pixels, _grid, _patches, _slices,
)  # fmt: skip


def _size(processor: Any, name: str) -> Mapping[str, int]:  # noqa: ANN401
    given = dict(getattr(processor, name, None) or {})
    return {key: int(value) for key, value in given.items() if value is not None}
