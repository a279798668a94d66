"""What an error of a model says of its device: memory ran out, or it is of no more use.

Libraries raise the same few types for everything, so mostly the text decides. The texts are those
of torch's allocators and of the libraries that it calls. Works without torch, too.
"""

import errno
import re
from collections.abc import Iterator

from workers.model import memory
from workers.model.memory import MIB

SHORT_OF_MEMORY_BYTES = 256 * MIB
"""With less left on the GPU, a library that cannot start has found no memory for its workspace.
cuBLAS alone takes 32 MiB on an H100, and each library that is loaded takes room for its kernels."""

_OUT_OF_MEMORY = re.compile(
    r"out of memory"  # CUDA, HIP, XPU, MPS; torch's AcceleratorError, too
    r"|can't allocate memory|cannot allocate memory|not enough memory"  # the host's
    r"|ALLOC_FAILED|ALLOCATION_FAILED|StatusAllocFailed|rocblas_status_memory_error"
    r"|UR_RESULT_ERROR_OUT_OF_(?:DEVICE_MEMORY|HOST_MEMORY|RESOURCES)"  # Intel's Unified Runtime
    r"|failed to allocate memory|bad_alloc|bad allocation",  # onnxruntime, C++
    re.IGNORECASE,
)
_PERHAPS_OUT_OF_MEMORY = re.compile(
    r"(?:CUBLAS|CUBLASLT|CUSPARSE|CUSOLVER|CUDNN|HIPBLAS)_STATUS_(?:NOT_INITIALIZED|INTERNAL_ERROR)"
    r"|unable to find (?:a valid cuDNN algorithm|an engine)"
)
"""What the libraries also say when they find no memory for themselves."""
_DEVICE_FAULT = re.compile(
    r"(?:CUDA|HIP|XPU)(?: driver)? error"
    r"|device-side assert|illegal memory access|uncorrectable ECC|launch failure"
    r"|_STATUS_EXECUTION_FAILED|DEVICE_LOST"
)


def is_out_of_memory(err: BaseException) -> bool:
    """Return whether an error means that memory ran out, of the host or of the GPU."""
    return any(map(_says_out_of_memory, _causes(err)))


def is_device_fault(err: BaseException) -> bool:
    """Return whether an error leaves the GPU unusable for this process (a "sticky" CUDA error)."""
    if is_out_of_memory(err):
        return False
    return any(
        type(cause).__name__ == "AcceleratorError" or _DEVICE_FAULT.search(str(cause))
        for cause in _causes(err)
    )


def _causes(err: BaseException | None) -> Iterator[BaseException]:
    while err is not None:
        yield err
        err = err.__cause__


def _says_out_of_memory(err: BaseException) -> bool:
    if isinstance(err, MemoryError) or type(err).__name__ == "OutOfMemoryError":
        return True
    if isinstance(err, OSError) and err.errno is not None:
        return err.errno == errno.ENOMEM
    if _OUT_OF_MEMORY.search(str(err)):
        return isinstance(err, RuntimeError | OSError)
    if isinstance(err, RuntimeError) and _PERHAPS_OUT_OF_MEMORY.search(str(err)):
        free = memory.gpu_free()
        return free is not None and free < SHORT_OF_MEMORY_BYTES
    return False
