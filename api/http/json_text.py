"""JSON as clients send it, read so that it can be passed on: finite numbers, whole characters."""

import codecs
import json
import math
import re
from collections.abc import Iterator, Sequence

from pydantic_core import from_json

from api.http.json_bounds import check_bounds
from shared.errors import BadRequest, TooLarge
from shared.units import MEGA

MAX_NOT_UTF_8 = 16 * MEGA
"""Bytes of JSON in another encoding, which has to be decoded as a whole."""
_HALF = re.compile(
    rb"(?<!\\)((?:\\\\)*+)"  # an even number of backslashes: they stand for themselves
    rb"(?:(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"  # both halves
    rb"|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
"""An escape with half a character, or two that are a whole one, which is the second group."""


def parse_json(data: bytes, name: str) -> object:
    """Parse JSON, in memory of about its size.

    Escapes with half a character (a lone surrogate, as of an emoji that was cut in two) are left
    out, because such text cannot be encoded.

    Args:
        data: the text, in UTF-8, UTF-16 or UTF-32.
        name: what it is, for the message.

    Raises:
        BadRequest: it is not JSON, or a number is too large to be finite.
        TooLarge: it has too many parts; :mod:`api.http.json_bounds` has the limits.
    """
    try:
        data = _as_utf_8(data, name)
        data = _whole_characters(data, check_bounds(data, name))
        value: object = from_json(data, cache_strings="keys")
    except ValueError as err:
        raise BadRequest(f"{name} is not valid JSON: {_reason(err)}.") from err
    for path in _endless_numbers(value):
        raise BadRequest(f"The request is malformed: {path}: not a finite number.")
    return value


def _as_utf_8(data: bytes, name: str) -> bytes:
    if data.startswith(codecs.BOM_UTF8):
        return data[len(codecs.BOM_UTF8) :]
    encoding = json.detect_encoding(data)
    if encoding == "utf-8":
        return data
    if len(data) > MAX_NOT_UTF_8:
        raise TooLarge(f"{name} is in {encoding} and has more than {MAX_NOT_UTF_8:,} bytes.")
    return data.decode(encoding).encode()


def _whole_characters(data: bytes, strings: Sequence[slice]) -> bytes:
    """Return JSON without lone halves of characters, which may be in some of its strings."""
    if not strings:
        return data
    parts: list[bytes | memoryview] = []
    rest, end = memoryview(data), 0
    for place in strings:
        parts += [rest[end : place.start], _HALF.sub(_whole, data[place])]
        end = place.stop
    return b"".join([*parts, rest[end:]])


def _whole(found: re.Match[bytes]) -> bytes:
    """Return what stays of an escape.

    A function, and no template, because other threads run between its calls; for a template Python
    keeps them waiting from 3.12 on, for a sixth of a second if there are many.
    """
    return found[1] + (found[2] or b"")


def _reason(err: ValueError) -> str:
    """Return what the parser says, which has places but nothing that the client sent."""
    return "it is not text in Unicode" if isinstance(err, UnicodeError) else str(err)


def _endless_numbers(value: object, path: str = "") -> Iterator[str]:
    """Yield where the numbers are that are not finite, as ``options.top_p``."""
    if isinstance(value, float) and not math.isfinite(value):
        yield path[1:] or "body"
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _endless_numbers(inner, f"{path}.{name[:40]}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _endless_numbers(inner, f"{path}.{index}")
