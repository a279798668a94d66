"""The tests that need a GPU, with whatever pytest the machine has: `make test-gpu`.

GPU machines often come with a torch, a pytest and plugins of their own, in other versions than the
pinned ones. So the options of ``pyproject.toml``, of which a plugin may be missing or may want
another type, are replaced by those below, and warnings of such packages are not errors.

    python -m benchmarks.gpu.tests [pytest's arguments]
"""

import os
import sys
from collections.abc import Sequence

from shared.settings import ROOT

FOLDER = "tests/gpu"
OPTIONS = (
    *("-o", "addopts=", "--import-mode=importlib", "-p", "no:cacheprovider"),
    *("-W", "default", "-ra", "--durations=10", "-m", "gpu"),
)


def command(given: Sequence[str] = ()) -> list[str]:
    """Return the command of the tests; ``given``: arguments of pytest, instead of the folder."""
    return [sys.executable, "-m", "pytest", *OPTIONS, *(given or (FOLDER,))]


if __name__ == "__main__":
    os.chdir(ROOT)
    # In this very process, so that who ends this process ends the tests.
    os.execv(sys.executable, command(sys.argv[1:]))  # noqa: S606 - pytest
