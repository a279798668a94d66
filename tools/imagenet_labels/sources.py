"""The files of timm and WordNet from which labels are made."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CLASS_COUNT = 1000
SYNSET_ID = re.compile(r"n\d{8}")


class LabelError(ValueError):
    """The sources and the tables do not match."""


def read_synsets(path: Path) -> list[str]:
    """Read the synset ids of the classes, in class index order.

    Args:
        path: File with one synset id per line.

    Returns:
        The 1000 synset ids.

    Raises:
        LabelError: If these are not 1000 different synset ids.
    """
    synsets = path.read_text(encoding="utf-8").split()
    if len(set(synsets)) != CLASS_COUNT or len(synsets) != CLASS_COUNT:
        raise LabelError(f"{path}: expected {CLASS_COUNT} different synsets, got {len(synsets)}")
    malformed = [synset for synset in synsets if not SYNSET_ID.fullmatch(synset)]
    if malformed:
        raise LabelError(f"{path}: not WordNet noun ids: {', '.join(malformed)}")
    return synsets


def read_lemmas(path: Path) -> dict[str, list[str]]:
    """Read the lemmas of each synset.

    Args:
        path: File with lines of a synset id, a tab, and lemmas separated by ", ".

    Returns:
        The lemmas by synset id.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = (line.partition("\t") for line in lines if line)
    return {synset: lemmas.split(", ") for synset, _, lemmas in rows}


def parse_hypernyms(line: str) -> tuple[str, tuple[str, ...]]:
    """Parse one line of the WordNet noun file (format: man page wndb(5WN)).

    Args:
        line: A data line: offset, file number, type, word count in hexadecimal, words with their
            ids, pointer count, pointers of four fields each, and the gloss after " | ".

    Returns:
        The synset id and those of its hypernyms, instance hypernyms included.
    """
    fields = line.split(" | ", 1)[0].split()
    first_pointer = 5 + 2 * int(fields[3], 16)
    pointer_end = first_pointer + 4 * int(fields[first_pointer - 1])
    pointers = range(first_pointer, pointer_end, 4)
    return f"n{fields[0]}", tuple(f"n{fields[i + 1]}" for i in pointers if fields[i] in {"@", "@i"})


def read_hypernyms(directory: Path) -> dict[str, tuple[str, ...]]:
    """Read the noun hierarchy of WordNet.

    Args:
        directory: The WordNet dictionary directory, which holds data.noun.

    Returns:
        The direct hypernyms of each noun synset.
    """
    lines = (directory / "data.noun").read_text(encoding="utf-8").splitlines()
    return dict(parse_hypernyms(line) for line in lines if not line.startswith(" "))
