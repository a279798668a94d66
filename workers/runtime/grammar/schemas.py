"""Looks into JSON schemas before they are compiled."""

from collections.abc import Callable, Iterator
from typing import Any

from shared.messages import JsonObject

_BY_NAME = ("properties", "patternProperties", "$defs", "definitions")
_IN_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_ALONE = ("items", "additionalProperties")
"""Keywords whose values are schemas, or hold some."""
_COMBINED = frozenset({"properties", "$ref", "anyOf", "oneOf"})
"""Keywords of which one schema has only one, unless it is a combination."""
_EXAMPLES = {"duration": "P0D", "email": "a@a"}
"""Values of formats that are not found by trying what is usual in JSON."""


def named_properties_only(schema: JsonObject) -> JsonObject:
    """Return a schema whose objects have no other properties than those that it names.

    So it is on Ollama's servers. Objects may have others where a schema says so. A schema that
    combines several for one object is returned as it is, because each of them names a part.
    """
    if any("allOf" in part or len(_COMBINED & part.keys()) > 1 for part in _parts(schema)):
        return schema
    return _closed(schema)


def patterns(schema: JsonObject) -> Iterator[str]:
    """Yield the regular expressions of a schema, and examples of formats."""
    for part in _parts(schema):
        texts = [part.get("pattern"), _EXAMPLES.get(str(part.get("format")))]
        by_pattern = part.get("patternProperties")
        texts += by_pattern if isinstance(by_pattern, dict) else ()
        yield from (text for text in texts if isinstance(text, str))


def _closed(schema: JsonObject) -> JsonObject:
    closed = _with_subschemas(schema, _closed)
    if "properties" in schema and "patternProperties" not in schema:
        closed.setdefault("additionalProperties", False)
    return closed


def _parts(schema: JsonObject) -> Iterator[JsonObject]:
    """Yield a schema and all schemas in it."""
    left = [schema]
    while left:
        part = left.pop()
        yield part
        _with_subschemas(part, left.append)


def _with_subschemas(schema: JsonObject, change: Callable[[JsonObject], Any]) -> JsonObject:
    """Return a schema in which those directly in it are changed; booleans stay."""

    def changed(value: object) -> Any:  # noqa: ANN401
        return change(value) if isinstance(value, dict) else value

    result = dict(schema)
    for name, value in schema.items():
        if name in _BY_NAME and isinstance(value, dict):
            result[name] = {inner: changed(part) for inner, part in value.items()}
        elif name in _IN_LISTS and isinstance(value, list):
            result[name] = [changed(part) for part in value]
        elif name in _ALONE:
            result[name] = changed(value)
    return result
