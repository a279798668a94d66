"""Memory of a model process, and errors that mean it ran out; works with and without torch."""

import gc
import sys
from typing import Any

import psutil
from pydantic import BaseModel


class Memory(BaseModel):
    """Bytes in use by this process and bytes free, both on the device where the model is."""

    used: int
    free: int


def measure() -> Memory:
    """Measure the GPU's memory if this process uses one, else its resident memory."""
    cuda = _cuda()
    if cuda is not None:
        return Memory(used=cuda.memory_reserved(), free=cuda.mem_get_info()[0])
    return Memory(used=psutil.Process().memory_info().rss, free=psutil.virtual_memory().available)


def release() -> None:
    """Give back what can be given back, after memory ran out."""
    gc.collect()
    cuda = _cuda()
    if cuda is not None:
        cuda.empty_cache()


def is_out_of_memory(err: BaseException) -> bool:
    """Say whether an error means that memory ran out."""
    return isinstance(err, MemoryError) or type(err).__name__ == "OutOfMemoryError"


def is_device_fault(err: BaseException) -> bool:
    """Say whether an error has made the GPU unusable for this process (a "sticky" CUDA error)."""
    return type(err).__name__ == "AcceleratorError" or "CUDA error" in str(err)


def _cuda() -> Any:  # noqa: ANN401 - torch.cuda, or None
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return None
    return torch.cuda
