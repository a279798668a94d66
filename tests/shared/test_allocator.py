"""A model process retains the memory that a batch freed; the API returns it to the system."""

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
    """Return the page faults of ten blocks, each allocated, filled and freed."""
    program = PROGRAM.format(setup=setup, size=size)
    return int(subprocess.check_output([sys.executable, "-c", program], timeout=60))


@pytest.mark.parametrize("size", [1 * MEGA, 60 * MEGA])
def test_a_model_process_reuses_its_pages(size: int) -> None:
    assert page_faults("retain_freed_memory", size) < 100


@pytest.mark.parametrize(
    ("setup", "size"),
    [("retain_freed_memory", 100 * MEGA), ("return_freed_memory", 1 * MEGA)],
    ids=["huge", "api"],
)
def test_huge_blocks_and_those_of_the_api_are_returned_at_once(setup: str, size: int) -> None:
    assert page_faults(setup, size) > 10 * size // 4096 // 2
