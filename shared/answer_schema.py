"""The JSON schema of an answer as a client sends it: bounds that cost little to check.

A worker compiles the schema, and refuses what it cannot enforce. These bounds keep that short.
"""

import json
from typing import Any

from shared.errors import UnusableForm
from shared.messages import JsonObject

ANY_OBJECT: JsonObject = {"type": "object"}
"""What Ollama's word ``json`` asks for. It says less than the schema of a task, if that has one."""
MAX_CHARACTERS = 64_000
"""As JSON; schemas of people, and those generated from their classes, have a few thousand."""
MAX_DEPTH = 64
"""Objects and lists within each other: a level of nested answers takes two or three."""
MAX_PROPERTIES = 500
"""Of one object; with 5,000, compiling takes seconds."""
MAX_PATTERN_CHARACTERS = 1_000
"""Of a regular expression."""


def form_meant(form: object) -> Any:  # noqa: ANN401 - JSON
    """Return a form that a client or a row asks for; an empty schema means any object.

    Ollama's servers take it so: ``visit`` in llama.cpp's common/json-schema-to-grammar.cpp.
    """
    return ANY_OBJECT if form == {} else form


def check_schema(schema: JsonObject) -> None:
    """Raise an error if a schema is too large to be compiled, or is not all there.

    Raises:
        UnusableForm: it is.
    """
    left: list[tuple[Any, int]] = [(schema, 1)]
    while left:
        value, depth = left.pop()
        if depth > MAX_DEPTH:
            raise _unusable(f"is nested more than {MAX_DEPTH} levels deep")
        if isinstance(value, dict):
            _check_part(value)
        if isinstance(value, dict | list):
            inner = value.values() if isinstance(value, dict) else value
            left += [(part, depth + 1) for part in inner]
    if len(json.dumps(schema, ensure_ascii=False)) > MAX_CHARACTERS:
        raise _unusable(f"has more than {MAX_CHARACTERS:,} characters")


def _check_part(part: JsonObject) -> None:
    reference, pattern = part.get("$ref"), part.get("pattern")
    if isinstance(reference, str) and not reference.startswith("#"):
        raise _unusable("refers to another document: a `$ref` must begin with `#`")
    if isinstance(pattern, str) and len(pattern) > MAX_PATTERN_CHARACTERS:
        raise _unusable(f"has a pattern of more than {MAX_PATTERN_CHARACTERS:,} characters")
    if len(part) > MAX_PROPERTIES:
        raise _unusable(f"has an object of more than {MAX_PROPERTIES} properties")


def _unusable(what: str) -> UnusableForm:
    return UnusableForm(f"The JSON schema {what}.")
