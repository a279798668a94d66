"""The locks hold what the requirements files say, all that it needs, and a hash of each file."""

import importlib.metadata
import re
from collections.abc import Iterator

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.stack import ROOT
from tools.lock import LOCKS, OF_TORCH, Lock

STALE = "Run `make lock`, and commit what it writes."


def logical_lines(path: str) -> list[str]:
    text = re.sub(r" *\\\n *", " ", (ROOT / path).read_text(encoding="utf-8"))
    lines = [line.partition(" #")[0].strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def with_includes(path: str) -> Iterator[str]:
    """The lines of a file, and of those that it includes in place of the `-r`."""
    for line in logical_lines(path):
        if line.startswith("-r "):
            nested = (ROOT / path).parent / line.removeprefix("-r ")
            yield from with_includes(nested.resolve().relative_to(ROOT).as_posix())
        else:
            yield line


def locked(path: str) -> dict[str, str]:
    """The version that a lock has of each package here and now: markers may choose."""
    found = [Requirement(line.partition(" --hash")[0]) for line in with_includes(path)]
    return {
        pin.name: str(pin.specifier) for pin in found if not pin.marker or pin.marker.evaluate()
    }


def pins(lock: Lock) -> dict[str, str]:
    found = [Requirement(line) for line in with_includes(lock.source)]
    return {
        canonicalize_name(pin.name): str(pin.specifier)
        for pin in found
        if lock.only in ("", pin.name)
    }


@pytest.mark.parametrize("path", LOCKS)
def test_each_pin_is_in_its_lock_in_the_same_version(path: str) -> None:
    wanted = {name: version for name, version in pins(LOCKS[path]).items() if name != "torch"}
    assert wanted
    assert {name: locked(path).get(name) for name in wanted} == wanted, STALE


@pytest.mark.parametrize("path", LOCKS)
def test_each_line_of_a_lock_is_one_version_with_hashes_and_names_no_place(path: str) -> None:
    line_of_a_lock = r"[a-z0-9.-]+==[\w.]+( ; [\w\s.<>=!'()]+)?( --hash=sha256:[0-9a-f]{64})+"
    for line in with_includes(path):
        assert re.fullmatch(line_of_a_lock, line), line


@pytest.mark.parametrize("path", LOCKS)
def test_a_lock_has_all_that_its_packages_need(path: str) -> None:
    """They are installed with ``--no-deps``."""
    versions = locked(path)
    for name in versions:
        for need in needs(name):
            if not OF_TORCH.fullmatch(canonicalize_name(need.name)):
                version = versions.get(canonicalize_name(need.name))
                assert version, f"{name} needs {need}. {STALE}"
                assert need.specifier.contains(version.removeprefix("=="), prereleases=True)


def needs(name: str) -> list[Requirement]:
    """What a package needs here, as far as it is installed in this environment."""
    try:
        said = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    found = map(Requirement, said)
    return [need for need in found if not need.marker or need.marker.evaluate({"extra": ""})]


@pytest.mark.parametrize("path", LOCKS)
def test_what_depends_on_the_build_of_torch_is_in_no_lock(path: str) -> None:
    assert not [name for name in locked(path) if OF_TORCH.fullmatch(name)]


def test_what_every_build_of_torch_needs_is_in_the_locks_of_the_workers() -> None:
    wanted = {
        canonicalize_name(need.name)
        for need in needs("torch")
        if not OF_TORCH.fullmatch(canonicalize_name(need.name))
    }
    assert {"sympy", "networkx"} <= wanted <= set(locked("workers/requirements.lock"))


def test_locks_agree_with_each_other() -> None:
    everything = locked("tests/requirements.lock")
    for path in LOCKS:
        assert locked(path).items() <= everything.items(), STALE
