"""Images of any proportions as rows of patches: what SigLIP 2 calls NaFlex."""

from collections.abc import Sequence
from typing import Any

import torch

from workers.preparing import patches
from workers.preparing.preparation import Preparation, Prepared
from workers.runtime.inputs import affine

CHANNELS = 3


def makes_patches(processor: Any) -> bool:  # noqa: ANN401 - not typed
    """Return whether an image processor of transformers cuts images into patches."""
    return "spatial_shapes" in processor.model_input_names


class PatchInputs:
    """Prepares images as the image processor of SigLIP 2 does.

    They keep their proportions. Images are resized in other processes, and cut into patches and
    normalised on the model's device.
    """

    def __init__(self, processor: Any) -> None:  # noqa: ANN401
        """Read the configuration of an image processor."""
        self._patch, self._most = int(processor.patch_size), int(processor.max_num_patches)
        self.preparation: Preparation = patches.patched(
            self._patch, self._most, int(processor.resample)
        )
        scale, shift = affine(processor)
        self._scale, self._shift = torch.tensor(scale), torch.tensor(shift)

    def prepare(self, image: Prepared) -> torch.Tensor:
        """Return (height, width, 3), uint8; both sides are multiples of a patch."""
        flat = torch.frombuffer(bytearray(image.content), dtype=torch.uint8)
        return flat.view(image.height, image.width, CHANNELS)

    def model_inputs(
        self, images: Sequence[torch.Tensor], device: torch.device, dtype: torch.dtype
    ) -> dict[str, torch.Tensor]:
        """Return patches (N, most, patch · patch · 3), which of them are there, and their places.

        Args:
            images: as :meth:`prepare` returned them; their sizes may differ.
            device: of the model.
            dtype: of the model.
        """
        side = self._patch
        shapes = [(image.shape[0] // side, image.shape[1] // side) for image in images]
        values = torch.zeros((len(images), self._most, side * side * CHANNELS), device=device)
        mask = torch.zeros((len(images), self._most), dtype=torch.int32, device=device)
        scale, shift = self._scale.to(device), self._shift.to(device)
        for row, (image, (high, wide)) in enumerate(zip(images, shapes, strict=True)):
            pixels = image.to(device).float() * scale + shift
            cut = pixels.view(high, side, wide, side, CHANNELS).transpose(1, 2)
            values[row, : high * wide] = cut.reshape(high * wide, -1)
            mask[row, : high * wide] = 1
        return {
            "pixel_values": values.to(dtype),
            "pixel_attention_mask": mask,
            "spatial_shapes": torch.tensor(shapes),  # the model reads it on the host
        }
