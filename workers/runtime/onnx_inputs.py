"""From pixels to the input of an ONNX model, as the model's row declares it.

A file says how large its input is, and of which type, but neither how images are resized nor in
which order and range their colours are expected. With a wrong one of these a model still answers,
only worse, so nothing of it is guessed.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from PIL import Image
from pydantic import Field, PositiveInt

from workers.model.family import FamilyParameters, LoadError
from workers.preparing import pixels
from workers.preparing.preparation import Preparation, Prepared
from workers.runtime.onnx_session import Tensor

Layout = Literal["NCHW", "NHWC"]
Channels = tuple[float, float, float]
_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class Resize(FamilyParameters):
    """How images of any size become images of the model's size."""

    mode: Literal["crop", "squash", "letterbox", "fit"] = Field(
        "crop",
        description="crop: the shorter side to `shortest_edge`, then the centre; squash: whatever "
        "the proportions; letterbox: all of the image, and `fill` around it; fit: all of the "
        "image, and nothing around it, for models that take any size",
    )
    shortest_edge: PositiveInt | None = Field(
        None, description="for crop; default: the longer side of `size`, so nothing is lost of it"
    )
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    fill: tuple[int, int, int] = Field((0, 0, 0), description="for letterbox: red, green, blue")


class InputParameters(FamilyParameters):
    """What a model expects; all that its file does not say."""

    size: PositiveInt | tuple[PositiveInt, PositiveInt] | None = Field(
        None, description="side, or width and height, in pixels; default: what the file says"
    )
    resize: Resize = Resize()
    colours: Literal["RGB", "BGR"] = "RGB"
    mean: Channels = Field(
        (0, 0, 0), description="subtracted from values of 0 to 255, in the order of `colours`"
    )
    std: Channels = Field((1, 1, 1), description="what they are then divided by")
    layout: Layout | None = Field(None, description="order of dimensions; default: as in the file")


class OnnxInput:
    """Makes batches for the input of a model."""

    def __init__(self, name: str, tensor: Tensor, declared: InputParameters) -> None:
        """Compare what is declared with the input.

        Args:
            name: of the file, for messages.
            tensor: the input.
            declared: by the row.

        Raises:
            LoadError: the input is no image, or is not as declared; or something is not declared.
        """
        self._dtype, self._declared = _dtype(name, tensor), declared
        self._layout = _layout(name, tensor, declared)
        height, width = tensor.shape[2:] if self._layout == "NCHW" else tensor.shape[1:3]
        self.size = _size(name, (width, height), declared)
        self.preparation = self._preparation(name, (width, height))
        # PhotoPrism multiplies as well; the mean is subtracted first, where it loses no digit.
        self._mean = np.array(declared.mean, np.float32)
        self._scale = np.float32(1) / np.array(declared.std, np.float32)
        self._is_plain = not self._mean.any() and bool((self._scale == 1).all())

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one image."""
        width, height = self.size
        return (3, height, width) if self._layout == "NCHW" else (height, width, 3)

    def pixels(self, image: Prepared) -> np.ndarray[Any, Any]:
        """Return the pixels of a prepared image: (height, width, 3), uint8, RGB."""
        return np.frombuffer(image.content, np.uint8).reshape(image.height, image.width, 3)

    def batch(self, images: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        """Return images of equal size as a batch for the model.

        Args:
            images: each (height, width, 3), uint8, RGB.
        """
        values = np.stack(images)
        if self._declared.colours == "BGR":
            values = values[..., ::-1]
        if not self._is_plain:
            values = (values.astype(np.float32) - self._mean) * self._scale
        if self._dtype.kind in "iu" and values.dtype != self._dtype:
            limits = np.iinfo(self._dtype)  # beyond which a cast would make black of white
            values = np.rint(values).clip(limits.min, limits.max)
        if self._layout == "NCHW":
            values = values.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(values, self._dtype)

    def _preparation(self, name: str, static: tuple[int | None, int | None]) -> Preparation:
        resize, size = self._declared.resize, self.size
        filter_ = _FILTERS[resize.interpolation]
        if resize.mode == "squash":
            return pixels.squash(size, filter_)
        if resize.mode == "letterbox":
            return pixels.fit(size, filter_, resize.fill)
        if resize.mode == "fit":
            if static != (None, None):
                raise LoadError(
                    f"{name} takes images of one size only, which `fit` does not make: choose "
                    "letterbox, squash or crop as `resize: mode`."
                )
            return pixels.fit(size, filter_)
        shortest = resize.shortest_edge or max(size)
        if shortest < max(size):
            raise LoadError(
                f"`shortest_edge` is {shortest}, but {_times(size)} pixels are to be cut out: it "
                f"must be {max(size)} at least."
            )
        return pixels.centre(shortest, size, filter_)


def _dtype(name: str, tensor: Tensor) -> np.dtype[Any]:
    if tensor.dtype is None or len(tensor.shape) != 4:
        raise LoadError(
            f"The input {tensor.name} of {name} is not a batch of images: it has "
            f"{len(tensor.shape)} dimensions instead of 4, or is not of numbers."
        )
    return tensor.dtype


def _layout(name: str, tensor: Tensor, declared: InputParameters) -> Layout:
    """Return the order of dimensions: where the file has 3 channels, unless it leaves that open."""
    channels: dict[Layout, int | None] = {"NCHW": tensor.shape[1], "NHWC": tensor.shape[3]}
    possible = [layout for layout, number in channels.items() if number in (3, None)]
    certain = [layout for layout, number in channels.items() if number == 3]
    if declared.layout in possible:
        return declared.layout
    if declared.layout is None and len(certain) == 1:
        return certain[0]
    shape = _times([side or "any" for side in tensor.shape])
    if not possible:
        raise LoadError(
            f"{name} takes {shape}, which is not a batch of images with three channels."
        )
    advice = f"`layout` must be {' or '.join(possible)}"
    raise LoadError(f"{name} takes {shape}: {advice} in the parameters of its row.")


def _size(
    name: str, static: tuple[int | None, int | None], declared: InputParameters
) -> pixels.Size:
    """Return width and height of what the model sees."""
    wanted = declared.size
    width, height = (wanted, wanted) if isinstance(wanted, int) else wanted or static
    if width is None or height is None:
        raise LoadError(
            f"{name} takes images of any size: say in `size` of its row's parameters which size "
            "it was trained for."
        )
    if any(has not in (None, side) for has, side in zip(static, (width, height), strict=True)):
        has = _times([side or "any" for side in static])
        raise LoadError(
            f"{name} takes images of {has} pixels, not {_times((width, height))}: correct `size` "
            "in the parameters of its row, or leave it out."
        )
    return width, height


def _times(size: Sequence[object]) -> str:
    return " x ".join(map(str, size))
