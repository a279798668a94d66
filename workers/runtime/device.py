"""Choose a device and a dtype, and check loaded weights."""

from collections.abc import Collection
from typing import Any, Literal

import torch

from workers.model import memory
from workers.model.family import LoadContext, LoadError
from workers.runtime.quantization import can_quantise

DtypeName = Literal["float32", "bfloat16", "float16", "int8"]
_CPU = torch.device("cpu")


def pick_device(name: str) -> torch.device:
    """Return the device called ``name``; ``auto`` is the accelerator, else the CPU.

    A GPU becomes torch's current one in this thread, on which memory is measured.

    Raises:
        LoadError: the device does not exist here.
    """
    if name == "auto":
        accelerator = torch.accelerator.current_accelerator()
        return accelerator if accelerator and torch.accelerator.is_available() else _CPU
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
        if device.type == "cuda" and device.index is not None:
            torch.cuda.set_device(device)
    except (RuntimeError, AssertionError) as err:
        raise LoadError(f"VISION_DEVICE={name} cannot be used here: {err}") from err
    return device


def pick_dtype(
    name: DtypeName | Literal["auto"], device: torch.device, on_cpu: DtypeName
) -> DtypeName:
    """Return the dtype of a model.

    ``auto`` is bfloat16 on the current CUDA GPU if it computes in it, and float16 if it only
    emulates it. On the CPU it is ``on_cpu``, which was fastest when measured, if the processor
    supports it. Otherwise it is float32.

    Raises:
        LoadError: int8 is requested but not available.
    """
    if name == "auto":
        if device.type == "cuda":
            return (
                "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
            )
        possible = device.type == "cpu" and (on_cpu != "int8" or can_quantise())
        return on_cpu if possible else "float32"
    if name == "int8" and (device.type != "cpu" or not can_quantise()):
        raise LoadError(
            f"`dtype: int8` is for x86 processors and cannot be had on {device}: leave `dtype` out "
            "of the row's parameters, or make it bfloat16."
        )
    return name


def float_type(dtype: DtypeName) -> torch.dtype:
    """Return the dtype of activations: float32 for int8 weights."""
    chosen: torch.dtype = getattr(torch, "float32" if dtype == "int8" else dtype)
    return chosen


def set_threads(context: LoadContext, default: int = 0) -> None:
    """Set the number of torch's CPU threads in this process; 0: torch decides."""
    threads = context.torch_threads or default
    if threads:
        torch.set_num_threads(threads)


def move(
    model: Any,  # noqa: ANN401
    device: torch.device,
    dtype: torch.dtype,
    precise: Collection[str] = (),
) -> None:
    """Move a model of transformers to a device, and only there to its dtype, tensor by tensor.

    On the way there, its weights are never in the host's memory twice, and a GPU converts them
    faster than a CPU. What the model wants to have in float32, or is in ``precise``, becomes or
    stays that, and so do the frequencies of rotary positions, which transformers never converts:
    rounded, they name wrong positions from some hundred tokens on.
    """
    kept = {*precise, *(model._keep_in_fp32_modules_strict or ())}  # noqa: SLF001
    if dtype == torch.float16:
        kept |= set(model._keep_in_fp32_modules or ())  # noqa: SLF001
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        moved = tensor.data.to(device)
        if moved.is_floating_point():
            is_exact = name.endswith("inv_freq") or not kept.isdisjoint(name.split("."))
            moved = moved.to(torch.float32 if is_exact else dtype)
        tensor.data = moved
    memory.release()  # what the largest of them needed to be converted


def check_materialised(model: torch.nn.Module) -> None:
    """Check that all weights were read from a file.

    When models are loaded in several threads at once, transformers 5 may leave tied weights on the
    device ``meta``; such a model answers nonsense. A fix has been proposed:
    https://github.com/huggingface/transformers/pull/44940

    Raises:
        LoadError: a parameter or buffer holds no data.
    """
    missing = [name for name, tensor in model.state_dict().items() if tensor.is_meta]
    if missing:
        raise LoadError(f"Weights are missing: {', '.join(missing[:3])}. Delete and fetch again.")
