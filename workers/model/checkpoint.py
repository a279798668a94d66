"""What the folder of a checkpoint must hold, and what is missing or damaged in it."""

import json
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from workers.model.file_checks import find_damage

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Best first, which is the order in which transformers looks for them; of each there may be an
index of shards instead. ``.bin`` files are pickles: transformers loads them with ``weights_only``.
"""
INDEX = ".index.json"
SHARDS = ("model-*-of-*.safetensors", "pytorch_model-*-of-*.bin")
"""Of the same formats."""
OTHER_PATTERNS = ("*.json", "*.txt", "*.model", "*.jinja", "LICENSE*", "README.md")
IMAGE_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
TOKENIZER = "tokenizer.json"
TOKENIZER_TEXTS = (
    TOKENIZER,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.json",
    "chat_template.jinja",  # where transformers 5 writes it
)
VOCABULARIES = ("vocab.txt", "vocab.json", "merges.txt", "*.model")
"""Read only where there is no ``tokenizer.json``."""
SETTINGS = (CONFIG, "generation_config.json", *IMAGE_PROCESSOR_FILES)
MODEL_FORMATS = (".onnx", ".json", ".txt")
"""Of files that a row names; others have the weights of an ONNX file, as they lie in memory."""
MAX_FAULTS_TOLD = 3


class Fault(NamedTuple):
    """What is wrong with a file."""

    file: str
    problem: str
    """The end of a sentence that begins with the file's name."""
    is_missing: bool = False

    def __str__(self) -> str:
        return f"{self.file} {self.problem}"


def find_faults(folder: Path, *, needs_tokenizer: bool) -> list[Fault]:
    """Return what is missing or damaged in a folder; none: it can be loaded, as far as shows.

    Weights are checked by their headers, other files by their text; nothing is hashed.

    Args:
        folder: the checkpoint's folder, which may be missing.
        needs_tokenizer: whether the model reads or generates text.

    Raises:
        OSError: the folder or a file cannot be read.
    """
    names = [*SETTINGS, *(TOKENIZER_TEXTS if needs_tokenizer else ())]
    faults = [*_damaged(folder, names), *_weight_faults(folder)]
    if not (folder / CONFIG).is_file():
        faults.insert(0, Fault(CONFIG, "is missing", is_missing=True))
    if not _has_image_processor(folder):
        faults.append(Fault(IMAGE_PROCESSOR_FILES[0], "is missing", is_missing=True))
    if needs_tokenizer and not (folder / TOKENIZER).is_file():
        faults += _vocabulary_faults(folder)
    return faults


def find_faults_of(folder: Path, names: Iterable[str]) -> list[Fault]:
    """Return which files of a row that names them are missing from a folder, or damaged.

    Raises:
        OSError: the folder or a file cannot be read.
    """
    faults = []
    for name in names:
        if not (folder / name).is_file():
            faults.append(Fault(name, "is missing", is_missing=True))
        elif problem := find_damage(folder / name, is_raw=not name.endswith(MODEL_FORMATS)):
            faults.append(Fault(name, problem))
    return faults


def describe(faults: Sequence[Fault]) -> str:
    """Return the first faults as one clause."""
    told = "; ".join(map(str, faults[:MAX_FAULTS_TOLD]))
    more = len(faults) - MAX_FAULTS_TOLD
    return f"{told}; and {more} more" if more > 0 else told


def is_weights(name: str) -> bool:
    """Return whether a file holds weights or is the index of such files."""
    return any(fnmatch(name, pattern) for pattern in (*WEIGHTS, *SHARDS)) or name.endswith(INDEX)


def wanted_files(names: Iterable[str]) -> list[str]:
    """Choose the files of a repository to fetch: text files, and the weights that are loaded.

    Weights are often there several times: in one file and in shards, in other formats, and in
    folders for other programs.
    """
    names = [name for name in names if "/" not in name]
    chosen = [
        name
        for name in names
        if any(fnmatch(name, pattern) for pattern in OTHER_PATTERNS) and not is_weights(name)
    ]
    return sorted(chosen + _wanted_weights(names))


def _wanted_weights(names: Sequence[str]) -> list[str]:
    """Choose what transformers would load: the same as :func:`_weight_faults` looks at."""
    for name, shard in zip(WEIGHTS, SHARDS, strict=True):
        if name in names:
            return [name]
        if name + INDEX in names:
            return [name + INDEX, *(other for other in names if fnmatch(other, shard))]
    return []


def files_to_fetch(on_hub: Iterable[str], folder: Path, faults: Sequence[Fault]) -> list[str]:
    """Choose what mends a folder: its damaged files, and if it is incomplete what it lacks.

    Files that are there are kept. Weights are left out if those in the folder are fine, whatever
    their format; and so is what the owner of a complete folder removed.
    """
    wanted = wanted_files(on_hub)
    damaged = {fault.file for fault in faults if not fault.is_missing}
    # A damaged file that the hub does not have is replaced by another format, if by anything.
    is_incomplete = any(fault.is_missing for fault in faults) or not damaged <= set(wanted)
    needs_weights = any(is_weights(fault.file) for fault in faults)
    return [
        name
        for name in wanted
        if name in damaged
        or (
            is_incomplete
            and not (folder / name).exists()
            and (needs_weights or not is_weights(name))
        )
    ]


def absent_files(folder: Path) -> list[str]:
    """Return the names of small files that a checkpoint may have, and that are not in a folder."""
    return [name for name in (*SETTINGS, *TOKENIZER_TEXTS) if not (folder / name).is_file()]


def present_files(folder: Path, patterns: Iterable[str]) -> list[str]:
    """Return the names of a folder's files that match one of the patterns."""
    return [name for pattern in patterns for name in _present(folder, pattern)]


def _damaged(folder: Path, patterns: Iterable[str]) -> Iterator[Fault]:
    for name in present_files(folder, patterns):
        if problem := find_damage(folder / name):
            yield Fault(name, problem)


def _present(folder: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in folder.glob(pattern) if path.is_file())


def _weight_faults(folder: Path) -> Iterator[Fault]:
    """Find faults in the weights that transformers would load: the first that are there."""
    for name in WEIGHTS:
        if (folder / name).is_file():
            yield from _damaged(folder, [name])
            return
        if (folder / (name + INDEX)).is_file():
            yield from _shard_faults(folder / (name + INDEX))
            return
    yield Fault(WEIGHTS[0], "is missing", is_missing=True)


def _shard_faults(index: Path) -> Iterator[Fault]:
    if problem := find_damage(index):
        yield Fault(index.name, problem)
        return
    weight_map = json.loads(index.read_bytes())["weight_map"]
    if not isinstance(weight_map, dict):
        yield Fault(index.name, "names no shards")
        return
    for shard in sorted({str(name) for name in weight_map.values()}):
        if (index.parent / shard).is_file():
            yield from _damaged(index.parent, [shard])
        else:
            yield Fault(shard, "is missing", is_missing=True)


def _has_image_processor(folder: Path) -> bool:
    if any((folder / name).is_file() for name in IMAGE_PROCESSOR_FILES):
        return True
    try:  # a model of timm says in its configuration how images are prepared
        config = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "pretrained_cfg" in config


def _vocabulary_faults(folder: Path) -> Iterator[Fault]:
    there = present_files(folder, VOCABULARIES)
    if not set(there) - {"merges.txt"}:
        yield Fault(TOKENIZER, "is missing, and so is any other vocabulary", is_missing=True)
    elif there == ["vocab.json"]:
        yield Fault("merges.txt", "is missing beside vocab.json", is_missing=True)
    yield from _damaged(folder, VOCABULARIES)
