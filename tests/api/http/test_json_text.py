"""JSON with text of all kinds, and numbers without end."""

import json

import pytest

from api.http.json_text import parse_json
from shared.errors import BadRequest
from tests.api.http.scripts import SCRIPTS


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("escaped", [True, False], ids=["escaped", "as-it-is"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-be"])
def test_text_of_every_script_survives(script: str, encoding: str, *, escaped: bool) -> None:
    value = {"prompt": SCRIPTS[script], SCRIPTS[script]: [SCRIPTS[script]]}
    data = json.dumps(value, ensure_ascii=escaped).encode(encoding)
    assert parse_json(data, "It") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"a\ud800b"', "ab"),
        (r'"a\udc00b"', "ab"),
        (r'"\ud83d\ude00"', "😀"),
        (r'"\ud83d \ude00"', " "),
        (r'"\ude00\ud83d"', ""),
        (r'"\ud83d\ud83d\ude00"', "😀"),
        (r'"\\ud800"', r"\ud800"),
        (r'{"\uD800x": {"y": ["\udBFF"]}}', {"x": {"y": [""]}}),
    ],
)
def test_half_characters_are_left_out_wherever_they_are(text: str, value: object) -> None:
    assert parse_json(text.encode(), "It") == value
    json.dumps(value, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("NaN", "body"),
        ('{"a": Infinity}', "a"),
        ('{"options": {"top_p": -Infinity}}', "options.top_p"),
        ('{"schema": {"a": [1, {"b": 1e400}]}}', "schema.a.1.b"),
        ("[0, -1E+999]", "1"),
    ],
)
def test_a_number_without_end_is_refused_and_its_place_named(text: str, where: str) -> None:
    with pytest.raises(BadRequest, match=f"malformed: {where}: not a finite number"):
        parse_json(text.encode(), "It")


@pytest.mark.parametrize("text", ["1e308", "-1.5", "1e-400", "123456789012345678901234567890"])
def test_any_other_number_is_read(text: str) -> None:
    assert parse_json(text.encode(), "It") == json.loads(text)


@pytest.mark.parametrize(
    "data", [b"\xed\xa0\x80", b'"\xed\xa0\x80"', b'"\xff"', b'"\xc3"', b"", b"{", b"[" * 9_999]
)
def test_what_is_not_json_is_named(data: bytes) -> None:
    with pytest.raises(BadRequest, match=r"^It is not valid JSON: .+\.$"):
        parse_json(data, "It")
