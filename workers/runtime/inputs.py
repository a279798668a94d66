"""How transformers' image processors are replaced: resize elsewhere, normalise on the device."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers.image_processing_backends import PilBackend, TorchvisionBackend

from workers.preparing import pixels
from workers.preparing.preparation import Preparation, Prepared

_STEPS = ("_preprocess", "resize", "center_crop", "rescale", "normalize")
"""Methods of an image processor that decide what it does; one that has its own is left alone."""


class ImageInputs:
    """Prepares images as an image processor of transformers does.

    Most processors resize, crop, rescale and normalise, and their configuration says all about it.
    Then images are resized by Pillow in other processes (see ``workers/preparing/pixels.py``), and
    8-bit pixels are normalised on the model's device. Any other processor gets decoded images, and
    runs in this process.
    """

    def __init__(self, processor: Any) -> None:  # noqa: ANN401 - not typed
        """Find out what an image processor does."""
        self._processor = processor
        preparation = preparation_of(processor)
        self.is_known = preparation is not None
        self.preparation: Preparation = preparation or pixels.whole()
        scale, shift = affine(processor) if self.is_known else ((1.0,) * 3, (0.0,) * 3)
        self._scale = torch.tensor(scale).view(3, 1, 1)
        self._shift = torch.tensor(shift).view(3, 1, 1)

    def prepare(self, image: Prepared) -> torch.Tensor:
        """Return one image: (height, width, 3), uint8; or (3, height, width), float32, normalised.

        The latter is from processors that are not known.
        """
        if self.is_known:
            flat = torch.frombuffer(bytearray(image.content), dtype=torch.uint8)
            return flat.view(image.height, image.width, 3)
        found = self._processor(images=pixels.unpacked(image), return_tensors="pt")
        values: torch.Tensor = found["pixel_values"][0]
        return values

    def batch(
        self, images: Sequence[torch.Tensor], device: torch.device, dtype: torch.dtype
    ) -> torch.Tensor:
        """Stack what :meth:`prepare` returned to (N, 3, height, width), normalised, on a device.

        On a GPU the copy runs on the stream that computes, and does not overlap with the batch
        before: 8-bit pixels of 64 images take half a millisecond of the 150 of their batch, which a
        stream of its own and the waiting between both would not be worth.
        """
        first, is_pinned = images[0], device.type == "cuda"  # or the driver would copy them again
        stacked = torch.empty((len(images), *first.shape), dtype=first.dtype, pin_memory=is_pinned)
        moved = torch.stack(list(images), out=stacked).to(device, non_blocking=True)
        if self.is_known:
            if self._scale.device != device:
                self._scale, self._shift = self._scale.to(device), self._shift.to(device)
            # (N, H, W, 3) to (N, 3, H, W); float32 until all is computed. In place: on a CPU, one
            # fused operation on mixed types takes twice as long as these three.
            planes = moved.permute(0, 3, 1, 2)
            moved = planes.to(torch.float32, memory_format=torch.contiguous_format)
            moved.mul_(self._scale).add_(self._shift)
        return moved.to(dtype, memory_format=torch.contiguous_format)

    def model_inputs(
        self, images: Sequence[torch.Tensor], device: torch.device, dtype: torch.dtype
    ) -> dict[str, torch.Tensor]:
        """Return :meth:`batch` as the named argument of a model of transformers."""
        return {"pixel_values": self.batch(images, device, dtype)}


def preparation_of(processor: Any) -> Preparation | None:  # noqa: ANN401 - not typed
    """Return how an image processor of transformers resizes and crops; ``None``: in its own way."""
    kind = type(processor)
    is_plain = any(
        all(getattr(kind, step, None) is getattr(base, step) for step in _STEPS)
        for base in (PilBackend, TorchvisionBackend)
    )
    # Without a filter each processor has a default of its own.
    if not is_plain or not processor.do_resize or processor.resample is None:
        return None
    if getattr(processor, "do_pad", None) or not processor.do_rescale:
        return None
    filter_ = int(processor.resample)
    size, crop = (
        given_sizes(processor.size),
        given_sizes(getattr(processor, "crop_size", None) or {}),
    )
    if not processor.do_center_crop:
        crop = {}
    match size, crop:
        case {"height": height, "width": width, **rest}, {} if not (rest or crop):
            return pixels.squash((width, height), filter_)
        case {"shortest_edge": shortest, **rest}, {"height": height, "width": width} if not rest:
            if max(height, width) <= shortest:
                return pixels.centre(shortest, (width, height), filter_, truncate=True)
    return None


def affine(processor: Any) -> tuple[Sequence[float], Sequence[float]]:  # noqa: ANN401
    """Return by what an image processor multiplies values from 0 to 255, and what it then adds.

    Both are of the channels red, green and blue.
    """
    factor = float(processor.rescale_factor)
    mean, deviation = (0.0,) * 3, (1.0,) * 3
    if processor.do_normalize:
        mean, deviation = _three(processor.image_mean), _three(processor.image_std)
    scale = tuple(factor / d for d in deviation)
    shift = tuple(-m / d for m, d in zip(mean, deviation, strict=True))
    return scale, shift


def given_sizes(size: Mapping[str, int | None]) -> dict[str, int]:
    """Return the sides that a size of an image processor names."""
    return {name: value for name, value in dict(size).items() if value is not None}


def _three(values: Any) -> tuple[float, float, float]:  # noqa: ANN401 - one number or three
    red, green, blue = values if isinstance(values, Sequence) else (values,) * 3
    return float(red), float(green), float(blue)
