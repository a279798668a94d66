"""What libraries say when memory runs out, and when a device fails. All texts are real ones."""

import errno
import gc
import weakref
from collections.abc import Sequence

import pytest
import torch
from structlog.testing import capture_logs

from shared.messages import Instructions, Result
from shared.tasks import CAPTION
from workers.model import memory
from workers.model.device_errors import is_device_fault, is_out_of_memory
from workers.model.family import PreparedJob
from workers.model.main import run_batch
from workers.preparing.pixels import whole

OUT_OF_MEMORY = [
    MemoryError(),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    torch.OutOfMemoryError("XPU out of memory. Tried to allocate 2.00 GiB (GPU 0)."),
    torch.AcceleratorError("CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation'"),
    torch.AcceleratorError("HIP error: out of memory"),
    RuntimeError("CUDA driver error: out of memory"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"
    ),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("HIP error: HIPBLAS_STATUS_ALLOC_FAILED when calling `hipblasCreate(handle)`"),
    RuntimeError("miopenStatusAllocFailed"),
    RuntimeError(
        "Native API failed. Native API returns: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)"
    ),
    RuntimeError("level_zero backend failed with error: 40 (UR_RESULT_ERROR_OUT_OF_RESOURCES)"),
    RuntimeError("BFCArena: Failed to allocate memory for requested buffer of size 1073741824"),
    RuntimeError("std::bad_alloc"),
]
DEVICE_FAULTS = [
    torch.AcceleratorError("CUDA error: device-side assert triggered"),
    torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
    torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered"),
    torch.AcceleratorError("CUDA error: unspecified launch failure"),
    torch.AcceleratorError("HIP error: unspecified launch failure"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("level_zero backend failed with error: 20 (UR_RESULT_ERROR_DEVICE_LOST)"),
]
NEITHER = [
    ValueError("out of memory is what the text says"),
    IndexError("index out of range in self"),
    RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"),
    OSError(errno.ENOENT, "No such file or directory"),
]


@pytest.mark.parametrize("err", OUT_OF_MEMORY, ids=repr)
def test_memory_that_ran_out_is_no_fault_of_the_device(err: Exception) -> None:
    assert is_out_of_memory(err)
    assert not is_device_fault(err)


@pytest.mark.parametrize("err", DEVICE_FAULTS, ids=repr)
def test_a_fault_of_the_device_is_not_a_lack_of_memory(err: Exception) -> None:
    assert is_device_fault(err)
    assert not is_out_of_memory(err)


@pytest.mark.parametrize("err", NEITHER, ids=repr)
def test_other_errors_are_neither(err: Exception) -> None:
    assert not is_out_of_memory(err)
    assert not is_device_fault(err)


def test_what_torch_itself_raises_without_memory_is_known() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**55)
    assert is_out_of_memory(raised.value)


def test_the_cause_of_an_error_counts() -> None:
    err = ValueError("the weights cannot be loaded")
    err.__cause__ = torch.OutOfMemoryError("CUDA out of memory.")
    assert is_out_of_memory(err)


@pytest.mark.parametrize(("free", "says"), [(10 * 2**20, True), (8 * 2**30, False)])
@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR",
        "GET was unable to find an engine to execute this computation",
    ],
)
def test_a_library_that_cannot_start_on_a_full_card_lacks_memory(
    monkeypatch: pytest.MonkeyPatch, text: str, free: int, *, says: bool
) -> None:
    for name in ("is_available", "is_initialized"):
        monkeypatch.setattr(torch.cuda, name, lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free, 80 * 2**30))
    assert is_out_of_memory(RuntimeError(text)) is says


class Activations:
    """Memory of a batch."""


class Hungry:
    """A model without enough memory."""

    preparation = whole()

    def __init__(self) -> None:
        self.activations: weakref.ref[Activations] | None = None

    def prepare(self, image: object) -> object:
        return image

    def predict(self, jobs: Sequence[PreparedJob], max_images: int) -> list[Result]:
        activations = Activations()
        self.activations = weakref.ref(activations)
        raise MemoryError


def test_memory_is_released_once_nothing_holds_the_failed_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An allocator gives back only what no tensor uses; a traceback holds its frames' tensors."""
    model, alive = Hungry(), []

    def release() -> None:
        gc.collect()
        assert model.activations
        alive.append(model.activations())

    monkeypatch.setattr(memory, "release", release)
    with capture_logs():  # structlog without our configuration keeps tracebacks
        report = run_batch(model, [[object()]], [Instructions(tasks=(CAPTION,))], 1)
    assert report.fault == "out_of_memory"
    assert alive == [None]
