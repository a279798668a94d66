"""Ends a process when its parent ends, even if the parent is killed.

``python -m launcher.parent_death COMMAND …`` runs a command so. supervisord starts its programs by
it: nobody would stop them after supervisord was killed, and they would keep their ports.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
"""From ``<linux/prctl.h>``."""


def end_with_parent() -> None:
    """Have the kernel send SIGTERM to this process when its parent ends.

    It stays so when the process executes another program, but not for its own children.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def main() -> None:
    """Execute the command in this process."""
    end_with_parent()
    if os.getppid() == 1:  # the parent had ended before
        return
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - our own programs


if __name__ == "__main__":
    main()
