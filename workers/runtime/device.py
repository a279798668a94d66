"""Pick a device and a dtype, and check what was loaded."""

from typing import Literal

import torch

from workers.model.family import LoadContext, LoadError
from workers.runtime.quantization import can_quantise

DtypeName = Literal["float32", "bfloat16", "float16", "int8"]


def pick_device(name: str) -> torch.device:
    """Return the device called ``name``; ``auto`` is the best there is.

    Raises:
        LoadError: it is not there.
    """
    if name == "auto":
        accelerator = torch.accelerator.current_accelerator()
        return accelerator if accelerator and torch.accelerator.is_available() else _CPU
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as err:
        raise LoadError(f"VISION_DEVICE={name} cannot be used here: {err}") from err
    return device


def pick_dtype(
    name: DtypeName | Literal["auto"], device: torch.device, on_cpu: DtypeName
) -> DtypeName:
    """Return the dtype to run in.

    ``auto`` is bfloat16 on GPUs that have it, else float16; on the CPU it is ``on_cpu``, which the
    family has measured, where this processor can do it.

    Raises:
        LoadError: int8 is asked for where it cannot be had.
    """
    if name == "auto":
        if device.type == "cuda":
            return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
        possible = device.type == "cpu" and (on_cpu != "int8" or can_quantise())
        return on_cpu if possible else "float32"
    if name == "int8" and (device.type != "cpu" or not can_quantise()):
        raise LoadError(
            f"`dtype: int8` is for x86 processors and cannot be had on {device}: leave `dtype` out "
            "of the row's parameters, or make it bfloat16."
        )
    return name


def float_type(dtype: DtypeName) -> torch.dtype:
    """Return what activations are in."""
    chosen: torch.dtype = getattr(torch, "float32" if dtype == "int8" else dtype)
    return chosen


def set_threads(context: LoadContext, default: int = 0) -> None:
    """Set torch's CPU threads for this process; 0 leaves them to torch."""
    threads = context.torch_threads or default
    if threads:
        torch.set_num_threads(threads)


def check_materialised(model: torch.nn.Module) -> None:
    """Refuse a model with weights that were never read.

    transformers 5 leaves tied weights on ``meta`` when loads race; such a model answers nonsense.
    https://github.com/huggingface/transformers/pull/44940 would mend it.

    Raises:
        LoadError: a parameter or buffer holds no data.
    """
    missing = [name for name, tensor in model.state_dict().items() if tensor.is_meta]
    if missing:
        raise LoadError(f"Weights are missing: {', '.join(missing[:3])}. Delete and fetch again.")


_CPU = torch.device("cpu")
