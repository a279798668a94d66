"""Units of measure, and numbers from 0 to 1."""

from typing import Annotated

from pydantic import Field

MEGA = 1_000_000
"""Megabytes and megapixels are decimal, as in file managers and cameras."""

GIGA = 1_000_000_000
"""Gigabytes of disks and downloads are decimal, too."""

UnitInterval = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
"""A probability or fraction. NaN is no JSON, and PhotoPrism expects 0 to 1."""


def clamp01(value: float) -> float:
    """Return ``value``, which rounding may have moved out of 0 to 1, as a :data:`UnitInterval`."""
    return round(min(max(value, 0.0), 1.0), 4)
