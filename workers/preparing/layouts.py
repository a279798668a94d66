"""Which pictures the model types of transformers see of an image, by the size that it has.

They are those of transformers' image processors, which ``workers/runtime/chat_images.py`` replaces
by these; tests compare both. A processor's model process and the preparing processes find the same
layout for the same size. All sizes are (width, height) in pixels.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from typing import NamedTuple

Size = tuple[int, int]
Sizes = Sequence[Size]


class Layout(NamedTuple):
    """The frames of an image: equal tiles of it, and perhaps all of it once more, in small."""

    resized: tuple[Size, ...]
    """To what the image is resized, once or twice, before it is cut into tiles."""
    window: Size
    """What of that is cut into tiles: its middle, with black around it where it is smaller."""
    columns: int = 1
    rows: int = 1
    overview: Size | None = None
    """Size of the whole image as a frame; ``None``: there is none."""
    overview_of_resized: bool = False
    """Whether that is made of the resized image."""

    @property
    def tile(self) -> Size:
        """Size of a tile."""
        return self.window[0] // self.columns, self.window[1] // self.rows

    @property
    def frames(self) -> list[Size]:
        """Sizes of all frames: the overview, then the tiles row by row."""
        overview = [] if self.overview is None else [self.overview]
        return [*overview, *[self.tile] * (self.columns * self.rows)]

    @property
    def largest(self) -> Size:
        """The least size of an image of which no pixel is made up."""
        sizes = [self.resized[0]]
        if self.overview and not self.overview_of_resized:
            sizes.append(self.overview)
        return max(width for width, _ in sizes), max(height for _, height in sizes)


def one_frame(size: Size) -> Layout:
    """Return the layout of an image that is resized to a size."""
    return Layout((size,), size)


def fixed(_: Size, size: Size) -> Layout:
    """Gemma 3, PaliGemma: one size for all images, whatever their proportions."""
    return one_frame((size[0], size[1]))


def middle(whole: Size, shortest: int, window: Size) -> Layout:
    """LLaVA: a square from the middle of the image, whose shorter side is resized."""
    width, height = whole
    if width <= height:
        resized = shortest, int(shortest * height / width)
    else:
        resized = int(shortest * width / height), shortest
    return Layout((resized,), (window[0], window[1]))


def within_pixels(whole: Size, multiple: int, least: int, most: int) -> Layout:
    """Qwen: nearly the image's proportions, with a number of pixels between two limits.

    Args:
        whole: of the image.
        multiple: of which both sides are multiples.
        least: fewest pixels.
        most: largest number of pixels.
    """
    width, height = (round(side / multiple) * multiple for side in whole)
    if width * height > most:
        shrink = math.sqrt(whole[0] * whole[1] / most)
        width, height = (
            max(multiple, math.floor(side / shrink / multiple) * multiple) for side in whole
        )
    elif width * height < least:
        grow = math.sqrt(least / (whole[0] * whole[1]))
        width, height = (math.ceil(side * grow / multiple) * multiple for side in whole)
    return one_frame((width, height))


def within_patches(whole: Size, patch: int, pooled: int, most: int) -> Layout:
    """Gemma 4: nearly the image's proportions, with as many patches as possible.

    Args:
        whole: of the image.
        patch: side of a patch.
        pooled: patches along a side of a square that is one token.
        most: largest number of patches.
    """
    multiple, pixels = patch * pooled, most * patch**2
    factor = math.sqrt(pixels / (whole[0] * whole[1]))
    width, height = (math.floor(side * factor / multiple) * multiple for side in whole)
    longest = most // pooled**2 * multiple
    if height == 0:
        width, height = min(whole[0] // whole[1] * multiple, longest), multiple
    elif width == 0:
        width, height = multiple, min(whole[1] // whole[0] * multiple, longest)
    return one_frame((width, height))


def tiles_of_longest_edge(whole: Size, longest: int, tile: int, *, split: bool) -> Layout:
    """SmolVLM, Idefics 3: resized to a longest edge, stretched to whole tiles, and then in small.

    Args:
        whole: of the image.
        longest: length of the longest edge.
        tile: side of a tile.
        split: whether an image has several tiles; if not, it has one, and is stretched to that.
    """
    ratio = whole[0] / whole[1]
    if ratio >= 1:
        width, height = longest, _even(longest / ratio)
    else:
        width, height = _even(longest * ratio), longest
    first, ratio = (width, height), width / height
    if not split:
        return Layout((first, (tile, tile)), (tile, tile))
    if width >= height:
        width = _multiple(width, tile)
        height = _multiple(int(width / ratio), tile)
    else:
        height = _multiple(height, tile)
        width = _multiple(int(height * ratio), tile)
    second, columns, rows = (width, height), width // tile, height // tile
    overview = (tile, tile) if columns * rows > 1 else None
    return Layout((first, second), second, columns, rows, overview, overview_of_resized=True)


def tiles_of_nearest_ratio(whole: Size, tile: Size, fewest: int, most: int) -> Layout:
    """InternVL: stretched to the grid of tiles that is nearest to it, and then in small.

    Args:
        whole: of the image.
        tile: size of a tile.
        fewest: tiles.
        most: tiles, without the small image.
    """
    sides = range(1, most + 1)
    grids = [grid for grid in product(sides, sides) if fewest <= math.prod(grid) <= most]
    ratio, least = whole[0] / whole[1], math.inf
    columns, rows = 1, 1
    for grid in sorted(grids, key=math.prod):
        difference = abs(ratio - grid[0] / grid[1])
        is_small = math.prod(whole) <= 0.5 * math.prod(tile) * math.prod(grid)
        if difference < least or (difference == least and not is_small):
            least = difference
            columns, rows = grid
    stretched = columns * tile[0], rows * tile[1]
    overview = (tile[0], tile[1]) if columns * rows > 1 else None
    return Layout((stretched,), stretched, columns, rows, overview)


def tiles_of_best_grid(whole: Size, tile: Size, grids: Sizes) -> Layout:
    """LLaVA-NeXT, Granite: in small, and then fitted into the grid that wastes least.

    Args:
        whole: of the image.
        tile: size of a tile.
        grids: sizes in pixels, multiples of that.
    """

    def worth(grid: Size) -> tuple[int, int]:
        scale = min(grid[0] / whole[0], grid[1] / whole[1])
        effective = min(int(whole[0] * scale) * int(whole[1] * scale), math.prod(whole))
        return effective, -math.prod(grid)

    grid = max(grids, key=worth)
    wide, high = grid[0] / whole[0], grid[1] / whole[1]
    if wide < high:
        resized = grid[0], min(math.ceil(whole[1] * wide), grid[1])
    else:
        resized = min(math.ceil(whole[0] * high), grid[0]), grid[1]
    columns, rows = grid[0] // tile[0], grid[1] // tile[1]
    return Layout((resized,), (grid[0], grid[1]), columns, rows, (tile[0], tile[1]))


def slices(whole: Size, side: int, multiple: int, most: int) -> Layout:
    """MiniCPM-V: in small, and then in slices of about the same size, if it is larger than one.

    Args:
        whole: of the image.
        side: of a square that is as large as a slice.
        multiple: of which all sides are multiples.
        most: slices.
    """
    fit = partial(_slice, side=side, multiple=multiple)
    least, columns, rows = math.inf, 1, 1
    for grid in _grids_of_slices(min(math.ceil(math.prod(whole) / side**2), most), most):
        error = abs(math.log(whole[0] / whole[1]) - math.log(grid[0] / grid[1]))
        if error < least or (error == least and grid[1] > rows):
            least = error
            columns, rows = grid
    if least == math.inf:
        return one_frame(fit(whole, enlarge=True))
    exact = _nearest(whole[0], columns) / columns, _nearest(whole[1], rows) / rows
    width, height = fit(exact, enlarge=True)
    refined = width * columns, height * rows
    return Layout((refined,), refined, columns, rows, fit(whole, enlarge=False))


def _grids_of_slices(number: int, most: int) -> Iterator[Size]:
    if number <= 1:
        return
    for count in (number - 1, number, number + 1):
        if 1 < count <= most:
            yield from ((count // rows, rows) for rows in range(1, count + 1) if count % rows == 0)


def _slice(whole: tuple[float, float], side: int, multiple: int, *, enlarge: bool) -> Size:
    width, height = whole
    if width * height > side**2 or enlarge:
        ratio = width / height
        height = int(side / math.sqrt(ratio))
        width = int(height * ratio)
    return _nearest(width, multiple), _nearest(height, multiple)


def _nearest(length: float, multiple: int) -> int:
    return max(round(length / multiple) * multiple, multiple)


def _multiple(length: int, multiple: int) -> int:
    return math.ceil(length / multiple) * multiple


def _even(length: float) -> int:
    return max(int(length) + int(length) % 2, 1)


LAYOUTS: Mapping[str, Callable[..., Layout]] = {
    rule.__name__: rule
    for rule in (
        fixed, middle, within_pixels, within_patches, tiles_of_longest_edge,
        tiles_of_nearest_ratio, tiles_of_best_grid, slices,
    )
}  # fmt: skip
"""By name, as preparations are data."""
