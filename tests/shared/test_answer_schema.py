"""What an API process refuses of a client's JSON schema."""

import pytest

from shared.answer_schema import check_schema
from shared.errors import BadRequest
from shared.messages import JsonObject


def nested(depth: int) -> JsonObject:
    schema: JsonObject = {"type": "string"}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (nested(100_000), "nested more than 64 levels deep"),
        ({"enum": ["x" * 64_000]}, "more than 64,000 characters"),
        ({"properties": {f"p{n}": {} for n in range(501)}}, "more than 500 properties"),
        ({"items": {"$ref": "https://example.com/a"}}, "must begin with `#`"),
        ({"items": [{"pattern": "a" * 1001}]}, "pattern of more than 1,000 characters"),
    ],
    ids=["deep", "long", "wide", "remote", "pattern"],
)
def test_a_schema_beyond_a_bound_is_refused_in_words(schema: JsonObject, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        check_schema(schema)


def test_a_schema_within_the_bounds_passes() -> None:
    check_schema(
        {
            "$defs": {"a": nested(40)},
            "properties": {f"p{n}": {"$ref": "#/$defs/a", "pattern": "^a$"} for n in range(500)},
        }
    )
