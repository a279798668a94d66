"""Errors of pydantic, as sentences for the operator who has written what is wrong."""

from typing import NamedTuple

from pydantic import ValidationError


class Fault(NamedTuple):
    """One thing that is wrong."""

    where: str
    """Names and numbers on the way to it, with dots between them; empty: all of it."""
    what: str
    """Without a full stop, and without the value, which may hold a password."""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


def faults_of(error: ValidationError) -> list[Fault]:
    """Return all that is wrong."""
    return [
        Fault(
            ".".join(map(str, fault["loc"])),
            fault["msg"].removeprefix("Value error, ").rstrip("."),
        )
        for fault in error.errors(include_url=False, include_input=False)
    ]
