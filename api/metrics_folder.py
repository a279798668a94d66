"""The folder of the numbers that all API processes share for ``/metrics``.

prometheus_client maps its files into the memory of each process. The kernel ends a process that
writes to a mapped page for which a full disk has no room (SIGBUS), so on a disk the whole API would
end, again and again, for numbers that nobody may ever read. Hence the folder is in memory.
"""

import os
import re
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108 - a private folder is made in it
_PREFIX = "vision-metrics-"
_NAME = re.compile(rf"{_PREFIX}(\d+)-\w+")


def make_folder(parent: Path = MEMORY) -> str:
    """Make the folder of this gunicorn, and remove those of others that were killed.

    Args:
        parent: a folder in memory; if it cannot be used, the folder is among the temporary files.
    """
    usable = parent.is_dir() and os.access(parent, os.W_OK)
    for left in parent.glob(f"{_PREFIX}*") if usable else ():
        named = _NAME.fullmatch(left.name)
        if named and not Path("/proc", named[1]).exists():
            shutil.rmtree(left, ignore_errors=True)  # those of other users stay
    return tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent if usable else None)
