"""What the families of transformers share: loading from a folder, device and dtype."""

from pathlib import Path
from typing import Any, Literal

import structlog
import torch
import transformers
from PIL import Image
from transformers.image_processing_backends import PilBackend

from workers.model.family import FamilyParameters, LoadContext, LoadError
from workers.runtime.crop import centre_of_strip
from workers.runtime.device import (
    DtypeName,
    check_materialised,
    float_type,
    pick_device,
    pick_dtype,
    set_threads,
)
from workers.runtime.quantization import quantise

log = structlog.get_logger(__name__)
UNUSED = ("pooler", "position_ids")
"""Weights that published checkpoints lack and that no answer here depends on."""


class PretrainedParameters(FamilyParameters):
    """Parameters of every family of transformers."""

    dtype: DtypeName | Literal["auto"] = "auto"


class Pretrained:
    """A checkpoint folder that is being loaded: where to, and in which dtype."""

    def __init__(
        self, context: LoadContext, wanted: PretrainedParameters, on_cpu: DtypeName = "float32"
    ) -> None:
        """Prepare torch and transformers.

        Args:
            context: what to load.
            wanted: says in which dtype.
            on_cpu: the dtype that measured best for this family on the CPU.

        Raises:
            LoadError: there is no folder, or the device or the dtype is not there.
        """
        if context.folder is None:
            raise LoadError(
                f"{context.spec.name}: add `source`, a repository on the hub, to its row."
            )
        self.folder: Path = context.folder
        self.device = pick_device(context.device)
        self.dtype = pick_dtype(wanted.dtype, self.device, on_cpu)
        set_threads(context)
        quiet: Any = transformers.utils.logging
        quiet.set_verbosity_error()
        quiet.disable_progress_bar()

    def model(self, loader: Any) -> Any:  # noqa: ANN401 - transformers' classes are not typed
        """Load the weights with a class of transformers, ready for inference on the device.

        Raises:
            LoadError: a package is missing, or weights are.
        """
        try:
            model, report = loader.from_pretrained(
                self.folder,
                # A file that is read in its own dtype is mapped into memory and not copied.
                dtype="auto" if self.dtype == "int8" else self.dtype,
                local_files_only=True,
                output_loading_info=True,
            )
        except ImportError as err:
            raise LoadError(_missing_package(err)) from err
        # transformers fills what the files lack with random numbers, and only logs it:
        # https://github.com/huggingface/transformers/issues/32067
        missing = sorted(n for n in report["missing_keys"] if not any(u in n for u in UNUSED))
        if missing:
            raise LoadError(f"The files lack weights: {', '.join(missing[:3])}. Fetch them again.")
        check_materialised(model)
        if self.dtype == "int8":
            quantise(model)
            for weight in model.parameters():
                weight.data = weight.data.float().clone()  # so that the file can be unmapped
        return model.to(self.device).eval()

    def part(self, loader: Any) -> Any:  # noqa: ANN401
        """Load a tokenizer or processor.

        Raises:
            LoadError: a package is missing.
        """
        try:
            return loader.from_pretrained(self.folder, local_files_only=True)
        except (ImportError, ValueError) as err:
            if isinstance(err, ValueError) and "could be imported" not in str(err):
                raise
            raise LoadError(_missing_package(err)) from err

    def batch(self, pixels: list[torch.Tensor]) -> torch.Tensor:
        """Stack prepared images to (N, 3, height, width) on the device, in the model's dtype."""
        stacked = torch.stack(pixels)
        if self.device.type == "cuda":  # from pinned memory a copy runs beside the GPU's work
            stacked = stacked.pin_memory()
        return stacked.to(self.device, float_type(self.dtype), non_blocking=True)


def pixels(processor: Any, image: Image.Image) -> torch.Tensor:  # noqa: ANN401
    """Run an image processor on one image; returns (3, height, width), float32."""
    # Its own resizing copies the large image several times. Afterwards it has nothing to resize.
    image = _resize(processor, image)
    values: torch.Tensor = processor(images=image, return_tensors="pt")["pixel_values"][0]
    return values


def _resize(processor: Any, image: Image.Image) -> Image.Image:  # noqa: ANN401
    """Resize as the processor would, to the last bit, where it resizes like most do."""
    plain = getattr(type(processor), "resize", None) is PilBackend.resize
    if not (plain and processor.do_resize and processor.resample):
        return image
    match dict(processor.size):
        case {"height": height, "width": width, **rest} if not rest:
            return image.resize((width, height), processor.resample)
        case {"shortest_edge": shortest, **rest} if not rest and processor.do_center_crop:
            image = centre_of_strip(image)
            short = min(image.size)
            width, height = (int(shortest * side / short) for side in image.size)
            return image.resize((width, height), processor.resample)
    return image


def _missing_package(err: Exception) -> str:
    log.warning("package missing", error=str(err))
    return (
        "This model runs through timm, which needs torchvision: install `timm` and the "
        "`torchvision` that belongs to your torch."
    )
