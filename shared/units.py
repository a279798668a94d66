"""Units of measure."""

MEGA = 1_000_000
"""Megabytes and megapixels are decimal here, as file managers and cameras have them."""
