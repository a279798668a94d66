"""JSON as clients send it, read so that it can be passed on: finite numbers, whole characters."""

import json
import math
import re
from collections.abc import Iterator

from shared.errors import BadRequest

_HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")
"""An escape with half a character; usually the other half follows."""


def parse_json(data: bytes, name: str) -> object:
    """Parse JSON.

    Escapes with half a character (a lone surrogate, as of an emoji that was cut in two) are left
    out, because such text cannot be encoded.

    Args:
        data: the text, in UTF-8, UTF-16 or UTF-32.
        name: what it is, for the message.

    Raises:
        BadRequest: it is not JSON, or a number is too large to be finite.
    """
    unlimited: list[str] = []

    def number(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            unlimited.append(text)
        return value

    try:
        text = data.decode(json.detect_encoding(data))
        value = json.loads(text, parse_float=number, parse_constant=number)
        if unlimited:
            where = next(_paths(value), "a number")
            raise BadRequest(f"The request is malformed: {where}: not a finite number.")
        return _whole_characters(value) if _HALF_CHARACTER.search(text) else value
    except (ValueError, RecursionError) as err:
        raise BadRequest(f"{name} is not valid JSON.") from err


def _paths(value: object, path: str = "") -> Iterator[str]:
    """Yield where the numbers are that are not finite, as ``options.top_p``."""
    if isinstance(value, float) and not math.isfinite(value):
        yield path[1:] or "body"
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _paths(inner, f"{path}.{name[:40]}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _paths(inner, f"{path}.{index}")


def _whole_characters(value: object) -> object:
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.loads(text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore"))
    return value
