"""What is wrong with one file of a checkpoint, as far as its size, header or text tells.

Weights are not read beyond their header, so that a check of gigabytes takes milliseconds. What is
found is returned as the end of a sentence that begins with the file's name.
"""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

HEAD_BYTES = 1024
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""How a file begins that git-lfs has not replaced by its contents yet:
https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md."""
WEB_PAGE = (b"<!doctype html", b"<html", b"<head", b"<?xml")
MAX_HEADER_BYTES = 100_000_000
"""The largest header that the library safetensors reads."""
PICKLE = b"\x80"
"""First byte of ``.bin`` files that torch wrote before version 1.6; later ones are ZIP archives."""
JSON_KEYS = {
    # A model of timm describes itself in `pretrained_cfg`.
    "config.json": ("model_type", "pretrained_cfg"),
    # Files of before 2022 say `feature_extractor_type`, and some name no type at all.
    "preprocessor_config.json": (
        "image_processor_type",
        "feature_extractor_type",
        "image_mean",
        "size",
    ),
    "tokenizer.json": ("model",),
    "model.safetensors.index.json": ("weight_map",),
    "pytorch_model.bin.index.json": ("weight_map",),
}
"""Keys of which a JSON file has at least one: a server's error report in JSON has none."""


def find_damage(path: Path, *, is_raw: bool = False) -> str:
    """Return what is wrong with an existing file; empty: nothing that shows.

    Args:
        path: the file.
        is_raw: it has nothing but numbers, which may be zeros; its name does not tell a format.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        return "is empty"
    if head.startswith(LFS_POINTER):
        return "is a pointer of git-lfs, which has not fetched the file itself"
    if head.lstrip().lower().startswith(WEB_PAGE):
        return "is a web page, such as the login page of a proxy"
    if is_raw:
        return ""
    if not head.strip(b"\0"):
        return "is filled with zeros, as after an interrupted copy"
    check = _CHECKS.get(path.suffix)
    return check(path) if check else ""


def _check_json(path: Path) -> str:
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        return "is not valid JSON; it may be cut off"
    if not isinstance(content, dict):
        return "is not a JSON object"
    keys = JSON_KEYS.get(path.name, ())
    if keys and not any(content.get(key) for key in keys):
        return f"does not say what it must: it has no {' or '.join(keys)}"
    return ""


def _check_text(path: Path) -> str:
    try:
        path.read_text("utf-8")
    except ValueError:
        return "is not text in UTF-8"
    return ""


def _check_safetensors(path: Path) -> str:
    """Compare the size of the file with what its header announces.

    The format is 8 bytes of length, a header in JSON, and the data, which the header covers without
    a gap: https://github.com/huggingface/safetensors#format.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if length <= MAX_HEADER_BYTES else b""
    if header.startswith(b"{") and len(header) < length:
        return f"is cut off within its header, after {size:,} bytes"
    try:
        tensors = json.loads(header)
        tensors.pop("__metadata__", None)
        expected = 8 + length + max(int(t["data_offsets"][1]) for t in tensors.values())
    except (ValueError, LookupError, TypeError, AttributeError):
        return "has no valid header of safetensors"
    if size < expected:
        return f"is cut off: it has {size:,} of {expected:,} bytes"
    return f"has {size:,} bytes instead of {expected:,}" if size > expected else ""


def _check_bin(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(4)
    if head.startswith(b"PK"):
        return "" if zipfile.is_zipfile(path) else "is cut off: the end of its archive is missing"
    return "" if head.startswith(PICKLE) else "is not a file of torch"


_CHECKS: dict[str, Callable[[Path], str]] = {
    ".json": _check_json,
    ".txt": _check_text,
    ".jinja": _check_text,
    ".safetensors": _check_safetensors,
    ".bin": _check_bin,
}
