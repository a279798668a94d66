"""Units of measure, and numbers between 0 and 1."""

from typing import Annotated

from pydantic import Field

MEGA = 1_000_000
"""Megabytes and megapixels are decimal here, as file managers and cameras have them."""

UnitInterval = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
"""A probability or share: Go refuses NaN, and PhotoPrism expects 0 to 1."""


def clamp01(value: float) -> float:
    """Return a :data:`UnitInterval` of a number that rounding may have pushed out of 0 to 1."""
    return round(min(max(value, 0.0), 1.0), 4)
