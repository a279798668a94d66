"""Schemas that cannot be used are refused in words, soon, and without harm."""

import json
import time

import jsonschema
import pytest

from shared.errors import BadRequest
from shared.messages import JsonObject
from tests.workers.runtime.grammar.grammar_lab import MOST, PERSON, generate, grammars
from workers.runtime.grammar.answer import Answer
from workers.runtime.grammar.compiling import MAX_KEPT
from workers.runtime.grammar.schemas import named_properties_only

BOUND_S = 60.0
"""Of one schema, on a busy machine; each takes a second at most."""
REFUSED: dict[str, tuple[JsonObject, str]] = {
    "a keyword that is not enforced": ({"not": {"type": "string"}}, "Unimplemented keys"),
    "no type": ({"type": "strnig"}, "Invalid type: strnig"),
    "remote": ({"$ref": "https://example.com/x.json"}, "not present in a registry"),
    "loop": ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, "No answer"),
    "itself": ({"$ref": "#"}, "No answer"),
    "without end": (
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        "No answer",
    ),
    "impossible": ({"type": "string", "minLength": 9, "maxLength": 2}, "greater than maxLength"),
    "too long": ({"type": "string", "minLength": 100_000}, "No answer"),
    "too many": ({"type": "array", "minItems": 1000, "items": {"type": "number"}}, "No answer"),
    "brackets": ({"type": "string", "pattern": "(" * 500 + ")" * 500}, "regex parse error"),
    "no pattern": ({"type": "string", "pattern": "("}, "regex parse error"),
    "large steps": ({"type": "integer", "multipleOf": 999_999_937}, "fuel exhausted"),
}
HOSTILE: dict[str, JsonObject] = {
    "nested repetitions": {"type": "string", "pattern": "^((a{1,100}){1,100}){1,100}$"},
    "stars": {"type": "string", "pattern": "(x*)*" * 200},
    "far back": {"type": "string", "pattern": "^(.*a.{40})*$"},
    "letters": {"type": "string", "pattern": "^[a-zé]{1,1000}\\w{1,1000}$"},
    "doubled": {
        "$ref": "#/$defs/a0",
        "$defs": {
            **{f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(30)},
            "a30": {"type": "string"},
        },
    },
    "wide": {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(500)}},
    "lists of lists": {
        "type": "array",
        "maxItems": 1000,
        "items": {"type": "array", "maxItems": 1000, "items": {"type": "number"}},
    },
    "long text": {"enum": ["x" * 50_000, "y"]},
    "its own rules": {**PERSON, "x-guidance": {"whitespace_flexible": True, "lenient": True}},
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_unusable_schema_is_refused_in_words(name: str) -> None:
    schema, reason = REFUSED[name]
    started = time.process_time()
    with pytest.raises(BadRequest, match=reason) as first:
        Answer(grammars().compile(schema), grammars(), MOST)
    assert time.process_time() - started < BOUND_S
    with pytest.raises(BadRequest) as second:  # from what is kept
        Answer(grammars().compile(schema), grammars(), MOST)
    assert first.value.message == second.value.message
    assert first.value.message.endswith(".")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_costly_schema_costs_seconds_at_most(name: str) -> None:
    schema, started = HOSTILE[name], time.process_time()
    answer = Answer(grammars().compile(schema), grammars(), 40)
    generate([answer], 40, seed=1)
    assert time.process_time() - started < BOUND_S
    if name != "doubled":  # jsonschema follows all 2 ** 30 ways
        jsonschema.validate(json.loads(answer.text), schema)


def test_grammars_are_kept_and_the_oldest_are_dropped() -> None:
    first = grammars().compile({"const": "first"})
    assert grammars().compile({"const": "first"}) is first
    for number in range(MAX_KEPT):
        grammars().compile({"const": number})
    assert grammars().compile({"const": "first"}) is not first


def test_objects_have_the_properties_that_a_schema_names() -> None:
    assert named_properties_only({"items": PERSON}) == {
        "items": {**PERSON, "additionalProperties": False}
    }
    named_like_a_keyword: JsonObject = {"properties": {"properties": {"enum": [PERSON]}}}
    assert named_properties_only(named_like_a_keyword) == {
        **named_like_a_keyword,
        "additionalProperties": False,
    }
    for open_schema in (
        {**PERSON, "additionalProperties": True},
        {"allOf": [PERSON, {"properties": {"b": {}}}]},
        {**PERSON, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
    ):
        assert named_properties_only(open_schema) == open_schema
