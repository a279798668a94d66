"""The two outputs: results on standard output, what is said to a person on standard error."""

import io
import os
import sys
from typing import IO, NoReturn

from rich.console import Console
from rich.text import Text

PIPED_COLUMNS = 200
"""Width of tables that other programs read, so that each row is one line."""

_is_narrow = "COLUMNS" in os.environ or (sys.stdout is not None and sys.stdout.isatty())
results = Console(highlight=False, width=None if _is_narrow else PIPED_COLUMNS)
notes = Console(stderr=True, highlight=False)


def say(text: str, style: str = "") -> None:
    """Say a sentence to a person, with nothing in it taken for markup."""
    notes.print(Text(text, style=style), soft_wrap=not notes.is_terminal)


def put(text: str) -> None:
    """Write text to standard output exactly as it is, also where lines are long."""
    results.file.write(text if text.endswith("\n") else f"{text}\n")


class _AboveBar(io.StringIO):
    """Standard output on the terminal on which a bar may be: what is written stands above it."""

    def write(self, text: str) -> int:
        """Write whole lines, and keep nothing."""
        notes.out(text, end="", highlight=False)
        return len(text)


def lines_output() -> IO[str]:
    """Return where a run, which shows a bar, writes lines that belong on standard output."""
    are_terminals = sys.stdout.isatty() and notes.file.isatty()
    if are_terminals and os.path.sameopenfile(sys.stdout.fileno(), notes.file.fileno()):
        return _AboveBar()
    return sys.stdout


class OutputError(OSError):
    """Standard output takes nothing more; ``strerror`` says why."""


class _Output(io.TextIOWrapper):
    """Standard output, whose errors are told from those of other files, each once."""

    def write(self, text: str) -> int:
        """Write text."""
        try:
            return super().write(text)
        except OSError as err:
            self._end(err)

    def flush(self) -> None:
        """Write what is held back."""
        try:
            super().flush()
        except OSError as err:
            self._end(err)

    def _end(self, err: OSError) -> NoReturn:
        # What else is written, or held back when Python ends, goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
        raise OutputError(err.errno, err.strerror) from err


def watch_output() -> None:
    """Have writing to standard output raise :class:`OutputError` where it fails."""
    if sys.stdout is None:  # closed, as by `>&-`: writing then fails as it does elsewhere
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
    plain = sys.stdout
    if isinstance(plain, io.TextIOWrapper):
        sys.stdout = _Output(
            encoding=plain.encoding,
            errors=plain.errors,
            line_buffering=plain.line_buffering,
            write_through=plain.write_through,
            buffer=plain.detach(),
        )
