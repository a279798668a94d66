"""Writes the locks: beside each requirements file, every package that it needs, with hashes.

Run ``make lock`` after editing a pin; what no file pins keeps its version where possible.
``make lock UPGRADE=1`` takes the newest version of every package that no file pins.

A lock holds for all platforms and versions of Python. It names no index: the index that is
configured must deliver the same files as the default one. No lock has torch or the libraries of
its builds: the operator chooses the build by an index, and the files of the indexes differ. Python
packages that every build needs are in the locks, so torch brings only itself and its libraries.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""The versions that are supported, the oldest one first."""
MACHINES = ("x86_64", "aarch64")
GLIBC = "2_35"
"""Of the oldest distributions that need nothing compiled: Ubuntu 22.04; Debian 12 has 2.36."""
UV = Path(sys.executable).with_name("uv")
OF_TORCH = re.compile(r"torch|triton|(?:cuda|nvidia)-.+")
_ENTRY = re.compile(r"^([a-z0-9.-]+)==", re.MULTILINE)
_ENTRY_OF_LINUX = re.compile(r"^([a-z0-9.-]+)==\S+ (?!; sys_platform == 'win32')", re.MULTILINE)
_INCLUDE = re.compile(r"^-r (\S+)$", re.MULTILINE)


class Lock(NamedTuple):
    """What a lock is made from, and which other locks it includes."""

    source: str
    includes: tuple[str, ...] = ()
    only: str = ""
    """Take only the pin of this package from the source."""

    def requirements(self) -> str:
        """Return the requirements to lock, as the text of a requirements file."""
        if not self.only:
            return f"-r {self.source}\n"
        lines = (ROOT / self.source).read_text(encoding="utf-8").splitlines()
        return next(line for line in lines if line.startswith(f"{self.only}=="))


LOCKS = {
    "launcher/requirements.lock": Lock("launcher/requirements.txt"),
    "requirements.lock": Lock("requirements.txt"),
    "requirements-otel.lock": Lock("requirements-otel.txt", ("requirements.lock",)),
    "requirements-flower.lock": Lock("requirements-run.txt", ("requirements.lock",), "flower"),
    "workers/requirements.lock": Lock("workers/requirements.txt", ("requirements.lock",)),
    "requirements-run.lock": Lock(
        "requirements-run.txt", ("workers/requirements.lock", "requirements-flower.lock")
    ),
    "tools/docs_site/requirements.lock": Lock(
        "tools/docs_site/requirements.txt", ("requirements.lock",)
    ),
    "tests/requirements.lock": Lock(
        "tests/requirements.txt",
        (
            "requirements-run.lock",
            "requirements-otel.lock",
            "launcher/requirements.lock",
            "tools/docs_site/requirements.lock",
        ),
    ),
}
"""In an order in which each comes after those that it includes."""
EVERYTHING = LOCKS["tests/requirements.lock"]


def main(argv: list[str]) -> None:
    """Write all locks."""
    known = "" if "--upgrade" in argv else "\n".join(map(_read, LOCKS))
    # One resolution of everything first, so that no two locks can contradict each other.
    versions = _resolve(EVERYTHING.requirements(), known)
    of_torch = {name for name in _ENTRY.findall(versions) if OF_TORCH.fullmatch(name)}
    for path, lock in LOCKS.items():
        elsewhere = of_torch.union(*map(_names, lock.includes))
        text = _resolve(lock.requirements(), versions, elsewhere)
        (ROOT / path).write_text(_head(path, lock) + text, encoding="utf-8")
        print(f"{path}: {len(_ENTRY.findall(text))} packages of its own")
    for python in PYTHONS:
        for machine in MACHINES:
            count = _count_of_wheels(python, machine)
            print(f"Python {python} on {machine}: {count} wheels, and nothing to compile")


def _read(path: str) -> str:
    file = ROOT / path
    return _INCLUDE.sub("", file.read_text(encoding="utf-8")) if file.is_file() else ""


def _names(path: str) -> set[str]:
    """Return the packages of a lock and of those that it includes, as far as Linux has them."""
    return set(_ENTRY_OF_LINUX.findall(_read(path))).union(*map(_names, LOCKS[path].includes))


def _head(path: str, lock: Lock) -> str:
    up = "../" * path.count("/")
    includes = "".join(f"-r {up}{include}\n" for include in lock.includes)
    what = f"{lock.only} of {lock.source}" if lock.only else lock.source
    return f"# Made by `make lock` from {what}. Edit that, not this.\n{includes}"


def _resolve(requirements: str, versions: str, without: Iterable[str] = ()) -> str:
    """Return the lock of some requirements.

    Args:
        requirements: a requirements file.
        versions: a lock with versions to prefer.
        without: packages not to be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "lock"
        output.write_text(versions, encoding="utf-8")  # uv prefers what is there already
        subprocess.run(
            [
                UV, "pip", "compile", "--quiet", "--no-config",
                "--universal", "--python-version", PYTHONS[0], "--generate-hashes", "--no-header",
                *(word for name in without for word in ("--no-emit-package", name)),
                "--output-file", output, "-",
            ],
            input=requirements, encoding="utf-8", cwd=ROOT, check=True,
        )  # fmt: skip
        text, _, _ = output.read_text(encoding="utf-8").partition("\n# The following packages were")
    return text.rstrip() + "\n"


def _count_of_wheels(python: str, machine: str) -> int:
    """Return how many packages ``make run`` would install there.

    Raises:
        subprocess.CalledProcessError: one has no wheel for it; uv has said which.
    """
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                UV, "pip", "install", "--dry-run", "--no-config", "--only-binary", ":all:",
                "--require-hashes", "--no-deps", "-r", "requirements-run.lock", "--target", folder,
                "--python-version", python, "--python-platform", f"{machine}-manylinux_{GLIBC}",
            ],
            stderr=subprocess.PIPE, encoding="utf-8", cwd=ROOT, check=False,
        )  # fmt: skip
    if done.returncode:
        sys.stderr.write(done.stderr)
        done.check_returncode()
    return done.stderr.count("\n + ")


if __name__ == "__main__":
    main(sys.argv[1:])
