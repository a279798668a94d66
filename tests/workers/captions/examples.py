"""Examples in many languages, one in a line of the files in ``data``."""

from pathlib import Path


def read(name: str) -> list[str]:
    return (Path(__file__).parent / "data" / name).read_text(encoding="utf-8").splitlines()
