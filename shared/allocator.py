"""What glibc does with freed memory: the API gives it back, a model process keeps it.

Where the C library is another one, nothing happens.
"""

import ctypes

# From <malloc.h>.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


def give_back_freed() -> None:
    """Set up for many threads and few large blocks: blocks from 256 KiB on are mapped one by one.

    By default each thread may get an arena of its own, and after the first large body the threshold
    for mapped blocks rises to 32 MB, so that what a burst needed stays with the process. Measured
    after eight uploads of 28 MB, four at once: 129 MB resident instead of 287.
    """
    _set(_M_MMAP_THRESHOLD, 256 * 2**10)
    _set(_M_ARENA_MAX, 2)


def keep_freed() -> None:
    """Set up for a model: what the activations of a batch took is kept for the next one.

    By default they may be given back, and fetched again page by page: of 25 ms for an image
    efficientnet-lite0 spent 5 in 3600 page faults (batches of 2 to 8; which ones, differed from run
    to run). Blocks from 64 MiB on, as the pixels of a huge photo, still go back at once.
    """
    _set(_M_MMAP_THRESHOLD, 64 * 2**20)
    _set(_M_TRIM_THRESHOLD, 512 * 2**20)


def _set(option: int, value: int) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(option, value)
