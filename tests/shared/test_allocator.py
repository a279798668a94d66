"""A model process keeps the memory that a batch has freed; the API gives it back."""

import subprocess
import sys

import pytest

from shared.units import MEGA

PROGRAM = """
import ctypes, resource
from shared import allocator

ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: pages of 4 KiB only
allocator.{setup}()
for n in range(20):
    if n == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = bytearray({size})
    del block
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(setup: str, size: int) -> int:
    """Return the page faults of ten blocks, each taken, filled and freed."""
    program = PROGRAM.format(setup=setup, size=size)
    return int(subprocess.check_output([sys.executable, "-c", program], timeout=60))


@pytest.mark.parametrize("size", [1 * MEGA, 60 * MEGA])
def test_a_model_process_fetches_no_page_twice(size: int) -> None:
    assert page_faults("keep_freed", size) < 100


@pytest.mark.parametrize(
    ("setup", "size"),
    [("keep_freed", 100 * MEGA), ("give_back_freed", 1 * MEGA)],
    ids=["huge", "api"],
)
def test_other_blocks_go_back_at_once(setup: str, size: int) -> None:
    assert page_faults(setup, size) > 10 * size // 4096 // 2
