"""Settings of glibc's allocator: whether freed memory returns to the system.

The API returns it, a model process retains it, a preparing process does both in turn. C libraries
without ``mallopt`` are left alone.
"""

import ctypes
import os
import resource

KIB, MIB = 2**10, 2**20
_PAGE_BYTES = resource.getpagesize()
# Options of mallopt(3), from <malloc.h>.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


def resident_bytes() -> int:
    """Return the memory that this process holds."""
    statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)  # after each image and batch
    try:
        return int(os.read(statm, 200).split()[1]) * _PAGE_BYTES
    finally:
        os.close(statm)


def return_freed_memory() -> None:
    """Set up a process with many threads and few large blocks: map blocks from 256 KiB one by one.

    By default each thread may get an arena of its own, and after the first large request body the
    threshold for mapped blocks rises to 32 MiB, so that the process keeps what a burst needed.
    Measured after eight uploads of 28 MB, four at once: 129 MB resident instead of 287 MB.
    """
    _mallopt(_M_MMAP_THRESHOLD, 256 * KIB)
    _mallopt(_M_ARENA_MAX, 2)


def retain_freed_memory() -> None:
    """Set up a model process: the memory of one batch's activations is kept for the next one.

    By default it may be returned and then fetched again page by page: of 25 ms for an image,
    efficientnet-lite0 spent 5 ms in 3600 page faults (in batches of 2 to 8; which sizes were
    affected differed from run to run). Blocks from 64 MiB, such as the pixels of a huge photo, are
    still returned at once.
    """
    _mallopt(_M_MMAP_THRESHOLD, 64 * MIB)
    _mallopt(_M_TRIM_THRESHOLD, 512 * MIB)


def give_back_freed_memory() -> None:
    """Return to the system what this process has freed; takes milliseconds, or more for much."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _mallopt(option: int, value: int) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(option, value)
