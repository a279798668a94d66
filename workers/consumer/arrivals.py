"""What has come on a queue meanwhile, taken at once."""

import queue
from typing import TypeVar

T = TypeVar("T")


def several(
    arrivals: "queue.SimpleQueue[T | None]", most: int | None = None, timeout_s: float | None = None
) -> list[T] | None:
    """Wait for something, and take what else has come; ``None``: nothing will come any more.

    Args:
        arrivals: ends with ``None``.
        most: how many to take.
        timeout_s: how long to wait; then nothing is returned.
    """
    taken: list[T] = []
    try:
        first = arrivals.get(timeout=timeout_s)
        while first is not None:
            taken.append(first)
            if len(taken) == most:
                return taken
            first = arrivals.get_nowait()
    except queue.Empty:
        return taken
    if taken:
        arrivals.put(None)
    return taken or None
