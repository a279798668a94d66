"""Words of many languages, in text files: what is data to :mod:`workers.captions`."""

from pathlib import Path


def read_lines(name: str) -> list[str]:
    """Return the lines of a file in this folder, without comments and empty lines."""
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]
