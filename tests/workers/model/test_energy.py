"""The energy of a GPU, as NVIDIA's driver counts it; a stand-in takes the driver's place."""

import ctypes
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from workers.model import energy
from workers.model.energy import Card, read_card

UUID = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"
NOT_SUPPORTED = 3


class NvmlStandIn:
    """Answers as NVML does: a status, and the result where the caller wants it."""

    def __init__(self, millijoules: int | None) -> None:
        self._millijoules = millijoules

    def nvmlInit_v2(self) -> int:  # noqa: N802 - the names are NVML's
        return 0

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes, device: Any) -> int:  # noqa: N802
        device._obj.value = 0xD0E
        return 0 if uuid == f"GPU-{UUID}".encode() else NOT_SUPPORTED

    def nvmlDeviceGetTotalEnergyConsumption(self, device: Any, energy_mj: Any) -> int:  # noqa: N802
        assert device.value == 0xD0E
        if self._millijoules is None:
            return NOT_SUPPORTED
        energy_mj._obj.value = self._millijoules
        return 0


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Forget what was read before, and afterwards what the stand-in said."""
    yield
    energy._read.cache_clear()
    energy._nvml.cache_clear()


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have torch say that this process uses a GPU."""
    cuda = SimpleNamespace(
        current_device=lambda: 0,
        get_device_properties=lambda index: SimpleNamespace(uuid=UUID if index == 0 else ""),
    )
    monkeypatch.setattr(energy, "torch_cuda", lambda: cuda)


def driver(monkeypatch: pytest.MonkeyPatch, millijoules: int | None) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: NvmlStandIn(millijoules))


def test_a_gpu_tells_its_joules(monkeypatch: pytest.MonkeyPatch) -> None:
    driver(monkeypatch, millijoules=2**40 + 500)
    assert read_card() == Card(uuid=f"GPU-{UUID}", energy_j=(2**40 + 500) / 1000)


def test_a_gpu_without_the_counter_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    driver(monkeypatch, millijoules=None)
    assert read_card() == Card()


def test_without_nvidias_driver_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert read_card() == Card()


def test_a_process_without_a_gpu_does_not_ask_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "torch_cuda", lambda: None)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail(f"{name} was opened"))
    assert read_card() == Card()
