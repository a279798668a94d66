"""Figures: written one by one as JSON lines, and shown as tables."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Results:
    """A file of figures, which several processes append to in turn."""

    def __init__(self, path: Path) -> None:
        """Use a file; it may exist."""
        self._path = path

    def add(self, stage: str, model: str, cell: str, **figures: object) -> None:
        """Append the figures of one cell and print them."""
        line = {"stage": stage, "model": model, "cell": cell, **figures}
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(f"{stage} {model}, {cell}: {_words(figures)}", flush=True)

    def tables(self) -> str:
        """Return all figures as Markdown, one table per stage."""
        lines = [json.loads(line) for line in self._path.read_text().splitlines()]
        return "\n\n".join(
            _table(stage, [line for line in lines if line["stage"] == stage])
            for stage in dict.fromkeys(line["stage"] for line in lines)
        )


def _table(stage: str, lines: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for line in lines for name in line if name != "stage"))
    rows = [names, ["---"] * len(names), *([_text(x.get(n, "")) for n in names] for x in lines)]
    return "\n".join([f"**{stage}**\n", *(f"| {' | '.join(row)} |" for row in rows)])


def _words(figures: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_text(value)}" for name, value in figures.items())


def _text(value: Any) -> str:  # noqa: ANN401 - whatever JSON has
    return f"{value:.4g}" if isinstance(value, float) else str(value)
