"""The two outputs: results on standard output, what is said to a person on standard error."""

import os
import sys

from rich.console import Console
from rich.text import Text

PIPED_COLUMNS = 200
"""Width of tables that other programs read, so that each row is one line."""

_is_narrow = sys.stdout.isatty() or "COLUMNS" in os.environ
results = Console(highlight=False, width=None if _is_narrow else PIPED_COLUMNS)
notes = Console(stderr=True, highlight=False)


def say(text: str, style: str = "") -> None:
    """Say a sentence to a person, with nothing in it taken for markup."""
    notes.print(Text(text, style=style), soft_wrap=not notes.is_terminal)


def put(text: str) -> None:
    """Write text to standard output exactly as it is, also where lines are long."""
    results.file.write(text if text.endswith("\n") else f"{text}\n")
