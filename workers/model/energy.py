"""Energy that an NVIDIA GPU has used, as its driver counts it.

Three functions of NVML are called, which comes with the driver and keeps its binary interface:
https://docs.nvidia.com/deploy/nvml-api. A package for them would be in every image without a GPU.
"""

import ctypes
import time
from functools import lru_cache

from pydantic import BaseModel

from workers.model.memory import torch_cuda

LIBRARY = "libnvidia-ml.so.1"
READ_S = 1.0
"""How long the counter is remembered, so that small batches do not wait for the driver."""
_SUCCESS = 0
_MILLI = 1e-3


class Card(BaseModel):
    """The GPU that a process uses."""

    uuid: str = ""
    """Empty: it uses none, or none that tells its energy."""
    energy_j: float = 0.0
    """Joules that the whole GPU has used since its driver was loaded, whoever used it."""


def read_card() -> Card:
    """Return the GPU that this process uses, and its energy up to a second ago.

    GPUs since Volta have the counter; slices of one (MIG) have none of their own.
    """
    return _read(int(time.monotonic() / READ_S))


@lru_cache(maxsize=1)
def _read(_: int) -> Card:
    cuda = torch_cuda()
    if cuda is None:
        return Card()
    uuid = f"GPU-{cuda.get_device_properties(cuda.current_device()).uuid}"
    joules = _joules(uuid)
    return Card() if joules is None else Card(uuid=uuid, energy_j=joules)


def _joules(uuid: str) -> float | None:
    """Return what a GPU has used; ``None``: its driver does not tell."""
    nvml = _nvml()
    if nvml is None:
        return None
    device, millijoules = ctypes.c_void_p(), ctypes.c_ulonglong()
    if nvml.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(device)) != _SUCCESS:
        return None
    if nvml.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(millijoules)) != _SUCCESS:
        return None
    return millijoules.value * _MILLI


@lru_cache(maxsize=1)
def _nvml() -> ctypes.CDLL | None:
    """Return the library, ready for use; ``None``: the GPU is of another make."""
    try:
        nvml = ctypes.CDLL(LIBRARY)
    except OSError:
        return None
    return nvml if nvml.nvmlInit_v2() == _SUCCESS else None
