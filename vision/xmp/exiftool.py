"""One ExifTool process for all files of a run: starting it takes longer than its work."""

import contextlib
import html
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

NAME = "exiftool"
CONFIG = Path(__file__).with_name("exiftool.config")
_RELAY = ("sh", "-c", r"cat; printf '\n-stay_open\nFalse\n'")
"""Passes arguments on. When there are no more, as after a kill of ours, it tells ExifTool to end,
which would look for more of them for ever."""
_WRITTEN = re.compile(r"^ *1 image files? (?:updated|created|unchanged)", re.MULTILINE)
_UNKNOWN = re.compile(r"^Error: (?:Unknown file type|File format error) - .*$", re.MULTILINE)


class ExifToolError(Exception):
    """ExifTool is not there, or cannot do what it is asked; the message says why."""


class ExifTool:
    """ExifTool with the fields of Vision Workers; not for several threads at once."""

    def __init__(self, program: str = "") -> None:
        """Start it.

        Args:
            program: path or name of the program; empty: the one on the ``PATH``.

        Raises:
            ExifToolError: it is not there.
        """
        found = shutil.which(program or NAME)
        if not found:
            raise ExifToolError(
                f"There is no {program or NAME}, which writes XMP sidecars. Install it (on Debian: "
                "apt install libimage-exiftool-perl), or say where it is with --exiftool."
            )
        # With sessions of their own: Ctrl-C is for us, who end them when the last file is written.
        self._relay = subprocess.Popen(
            _RELAY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        assert self._relay.stdout is not None  # noqa: S101 - it is a pipe
        with self._relay.stdout as arguments:
            self._process = subprocess.Popen(
                [found, "-config", str(CONFIG), "-stay_open", "True", "-@", "-"],
                stdin=arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        self._count = 0

    def read(self, fields: Sequence[str], paths: Sequence[Path]) -> list[Mapping[str, Any]]:
        """Return for each file its fields, by names with groups as ``XMP-dc:Subject``.

        Numbers are texts, too: they are words of keywords and captions. Files of formats that
        ExifTool does not know have no fields.

        Raises:
            ExifToolError: a file cannot be read.
        """
        said = self._execute(
            ["-q", "-q", "-j", "-G1", *(f"-{field}" for field in fields), *map(_file, paths)]
        )
        said = _UNKNOWN.sub("", said)
        try:
            found: list[Mapping[str, Any]] = json.loads(said, parse_int=str, parse_float=str)
        except ValueError as err:
            raise ExifToolError(f"ExifTool says: {_short(said)}") from err
        return found

    def write(self, values: Sequence[tuple[str, str]], path: Path) -> None:
        """Write fields into a file that is there, or make a new sidecar.

        Args:
            values: fields by names with groups; several with one name are a list. Empty: deleted.
            path: the file; it is replaced as a whole.

        Raises:
            ExifToolError: it cannot be written.
        """
        target = path if path.exists() else path.with_name(f".{path.name}.new.xmp")
        target_is_new = target != path
        if target_is_new:
            target.unlink(missing_ok=True)  # what a kill has left
        said = self._execute(
            ["-E", *(_assignment(*value) for value in values), "-overwrite_original", _file(target)]
        )
        if not _WRITTEN.search(said):
            raise ExifToolError(f"ExifTool says: {_short(said)}")
        if target_is_new:
            target.replace(path)

    def close(self) -> None:
        """End it, after what it does now."""
        with self._process, contextlib.suppress(BrokenPipeError), self._relay:
            pass

    def _execute(self, arguments: Sequence[str]) -> str:
        self._count += 1
        ready = f"{{ready{self._count}}}"
        lines = [*arguments, f"-execute{self._count}", ""]
        stdin, stdout = self._relay.stdin, self._process.stdout
        assert stdin is not None  # noqa: S101 - both are pipes
        assert stdout is not None  # noqa: S101
        try:
            stdin.write(b"\n".join(os.fsencode(line) for line in lines))
            stdin.flush()
        except OSError as err:
            raise ExifToolError(f"ExifTool has ended: {err}.") from err
        said = b""
        while ready.encode() not in said:
            part = stdout.readline()
            if not part:
                raise ExifToolError(f"ExifTool has ended: {_short(said.decode(errors='replace'))}")
            said += part
        return said.decode(errors="replace").rpartition(ready)[0]


def _assignment(field: str, value: str) -> str:
    """Return an argument of ``-E``, which is one line whatever the value is."""
    escaped = html.escape(value, quote=False)
    return f"-{field}={escaped.replace(chr(13), '&#13;').replace(chr(10), '&#10;')}"


def _file(path: Path) -> str:
    """Return an argument that names a file; it is absolute.

    Raises:
        ExifToolError: its name would be several lines, that is, several arguments.
    """
    name = str(path)
    if "\n" in name or "\r" in name:
        raise ExifToolError("ExifTool does not accept a file name with a line break.")
    return name


def _short(said: str) -> str:
    return " ".join(said.split())[:300] or "nothing"
