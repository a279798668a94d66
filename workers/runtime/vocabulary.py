"""Vocabularies: the labels that a zero-shot model can give, as text files that people write.

One line per label::

    name | synonyms | categories, from specific to general

Synonyms and categories are separated by commas, and may be left out. A line in brackets, such as
``[bird, animal]``, gives the categories of all lines after it, behind those of their own; ``[]``
ends it. Lines that begin with ``#`` are comments.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from shared.text import clean
from workers.model.family import LoadError

BUILT_IN = "photos"
"""Name of the vocabulary that comes with this program."""
PHOTOPRISM = "photoprism"
"""Of the names that PhotoPrism's own models use."""
DATA = Path(__file__).parent / "data"
MAX_ENTRIES = 20_000
MAX_NAME_CHARS = 100
"""Longer ones are sentences, or no text at all."""
COLUMNS = 3


class Entry(NamedTuple):
    """One label."""

    name: str
    synonyms: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The name and its synonyms."""
        return (self.name, *self.synonyms)


def find_vocabulary(name: str, folder: Path) -> tuple[Entry, ...]:
    """Return the built-in vocabulary, or that of a file.

    Args:
        name: :data:`BUILT_IN`, or a path, absolute or below ``folder``.
        folder: of the models.

    Raises:
        LoadError: the file is missing or broken; the message has the number of the line.
    """
    return read_vocabulary(DATA / "photo_vocabulary.txt" if name == BUILT_IN else folder / name)


def photoprism_names() -> Mapping[str, Entry]:
    """Return PhotoPrism's name for labels of the built-in vocabulary that it calls otherwise.

    Returns:
        PhotoPrism's label, with its categories, by our name.
    """
    entries = read_vocabulary(DATA / "photoprism_names.txt")
    return {ours: entry for entry in entries for ours in entry.names}


def read_vocabulary(path: Path) -> tuple[Entry, ...]:
    """Read a vocabulary.

    Raises:
        LoadError: the file is missing or broken; the message has the number of the line.
    """
    try:
        content = path.read_bytes()
    except OSError as err:
        raise LoadError(
            f"The vocabulary {path} cannot be read: {err.strerror or err}. `vocabulary` in the "
            f"row's parameters is {BUILT_IN!r}, or a file in the folder of the models."
        ) from err
    entries, seen = [], dict[str, int]()
    for number, entry in _entries(content, path):
        for name in entry.names:
            first = seen.setdefault(name.casefold(), number)
            if first != number:
                raise _broken(path, number, f"{name!r} is in line {first} already")
        entries.append(entry)
        if len(entries) > MAX_ENTRIES:
            raise _broken(path, number, f"there are more than {MAX_ENTRIES:,} labels")
    if not entries:
        raise LoadError(f"The vocabulary {path} has no labels: write one in each line.")
    return tuple(entries)


def _entries(content: bytes, path: Path) -> Iterator[tuple[int, Entry]]:
    """Yield the labels, each with the number of its line."""
    below: tuple[str, ...] = ()
    for number, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            line = raw.decode().strip()
        except UnicodeDecodeError as err:
            raise _broken(path, number, "it is not text in UTF-8") from err
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            if not line.endswith("]"):
                raise _broken(path, number, "the bracket is not closed")
            below = _listed(line[1:-1], path, number)
            continue
        yield number, _entry(line, below, path, number)


def _entry(line: str, below: Sequence[str], path: Path, number: int) -> Entry:
    columns = [column.strip() for column in line.split("|")]
    if len(columns) > COLUMNS:
        raise _broken(path, number, f"it has {len(columns)} columns, and {COLUMNS} are known")
    name, synonyms, categories = columns + [""] * (COLUMNS - len(columns))
    if not name:
        raise _broken(path, number, "there is no name before the first `|`")
    own = _listed(categories, path, number)
    entry = Entry(
        _checked(name, path, number),
        _listed(synonyms, path, number),
        tuple(dict.fromkeys(word for word in (*own, *below) if word != name)),
    )
    if name in own:
        raise _broken(path, number, f"{name!r} is a category of itself")
    if len({word.casefold() for word in entry.names}) < len(entry.names):
        raise _broken(path, number, "it has the same name twice")
    return entry


def _listed(text: str, path: Path, number: int) -> tuple[str, ...]:
    words = [word.strip() for word in text.split(",")] if text.strip() else []
    if "" in words:
        raise _broken(path, number, "there is nothing between two commas, or after the last one")
    return tuple(_checked(word, path, number) for word in words)


def _checked(word: str, path: Path, number: int) -> str:
    # Python calls joiners, with which Persian and Hindi are spelled, not printable.
    is_printable = word == clean(word) and not any(c.isspace() and c != " " for c in word)
    if len(word) > MAX_NAME_CHARS or not is_printable:
        raise _broken(
            path, number, f"a name has at most {MAX_NAME_CHARS} characters that can be printed"
        )
    return word


def _broken(path: Path, number: int, problem: str) -> LoadError:
    return LoadError(f"The vocabulary {path} is broken in line {number}: {problem}.")
