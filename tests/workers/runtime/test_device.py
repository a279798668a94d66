"""Which GPU is used, measured and asked for its abilities, where there are several.

The cards are made up, below torch's own functions, which decide.
"""

from typing import Any, NamedTuple

import pytest
import torch

from workers.model import memory
from workers.model.family import LoadError
from workers.runtime.device import pick_device, pick_dtype


class Card(NamedTuple):
    """What the driver says about a GPU."""

    major: int
    """Of the compute capability: 8 is Ampere, the first that computes in bfloat16."""
    free: int
    total: int = 80_000


TURING, HOPPER = Card(7, 11_000), Card(9, 70_000)


class Driver:
    """Knows some cards, of which one is current."""

    def __init__(self, *cards: Card) -> None:
        self.cards, self.current = cards, 0

    def set_device(self, device: Any) -> None:
        if device.index is None:  # as torch 2.11 has it
            msg = f"Expected a torch.device with a specified index or an integer, but got:{device}"
            raise ValueError(msg)
        self.current = device.index

    def allocate(self, _: int, *, device: torch.device) -> None:
        if (device.index or 0) >= len(self.cards):
            msg = "CUDA error: invalid device ordinal"
            raise torch.AcceleratorError(msg)

    def properties(self, device: int) -> Card:
        return self.cards[device]

    def memory(self) -> tuple[int, int]:
        card = self.cards[self.current]
        return card.free, card.total


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    """A driver that torch asks: an old card and a new one."""
    made = Driver(TURING, HOPPER)
    for name, answer in {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "set_device": made.set_device,
        "current_device": lambda: made.current,
        "get_device_properties": made.properties,
        "mem_get_info": made.memory,
        "memory_reserved": lambda: 0,
        "max_memory_allocated": lambda: 0,
        "reset_peak_memory_stats": lambda: None,
    }.items():
        monkeypatch.setattr(torch.cuda, name, answer)
    monkeypatch.setattr(torch, "empty", made.allocate)
    return made


@pytest.mark.parametrize(
    ("name", "dtype", "card"),
    [("cuda", "float16", TURING), ("cuda:0", "float16", TURING), ("cuda:1", "bfloat16", HOPPER)],
)
def test_the_device_in_use_decides_the_dtype_and_is_measured(
    driver: Driver, name: str, dtype: str, card: Card
) -> None:
    device = pick_device(name)
    assert pick_dtype("auto", device, "int8") == dtype
    assert memory.measure().free == memory.gpu_free() == card.free
    assert memory.measure().limit == card.total


def test_a_gpu_that_is_not_there_is_refused_with_the_setting(driver: Driver) -> None:
    with pytest.raises(LoadError, match="VISION_DEVICE=cuda:2 cannot be used here"):
        pick_device("cuda:2")
