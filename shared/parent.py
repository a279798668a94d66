"""Ties a process to the one that started it."""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
"""From ``<linux/prctl.h>``."""


def end_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process with its parent; ignore Ctrl-C and SIGTERM, the parent's.

    The parent is the thread that started this process, not only the process it belongs to.

    Args:
        parent: process id of the parent, if known: if it has died before this call, this process
            ends here. Otherwise, the closed pipe tells.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if parent is not None and os.getppid() != parent:
        os._exit(1)
