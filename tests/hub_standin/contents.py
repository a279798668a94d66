"""What the hub's API says of a repository's files."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.damage import LFS_POINTER

SHA = hashlib.sha1(b"stand-in", usedforsecurity=False).hexdigest()
"""The only commit of every repository."""
LFS_SUFFIXES = (".safetensors", ".bin")
"""Of the files that a repository has in git-lfs."""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def blob_id(data: bytes) -> str:
    """Return the id that git gives to a file's contents."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def describe(repo: str, folder: Path, sizes: Mapping[str, int]) -> dict[str, Any]:
    """Return a repository with its files.

    Args:
        repo: its name.
        folder: its files.
        sizes: of files, where they are to differ from the true ones.
    """
    siblings = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, data = str(path.relative_to(folder)), path.read_bytes()
        size = sizes.get(name, len(data))
        sibling: dict[str, Any] = {"rfilename": name, "size": size, "blobId": blob_id(data)}
        if path.suffix in LFS_SUFFIXES:
            sibling["lfs"] = {"sha256": sha256(data), "size": size, "pointerSize": len(LFS_POINTER)}
        siblings.append(sibling)
    return {"id": repo, "sha": SHA, "private": False, "siblings": siblings}
