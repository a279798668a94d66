"""How labels are read from a language model's answer."""

import json

import pytest

from shared.tasks.labels import Label
from tests.scripts import WORDS
from workers.llm.lenient_parsing import UnusableAnswer
from workers.llm.tasks.labels import read_labels

CAT = '{"labels": [{"name": "cat", "confidence": 0.9, "topicality": 0.7}]}'


def named(text: str) -> dict[str, float]:
    return {label.name: label.confidence for label in read_labels(text)}


def test_what_the_schema_asks_for_is_read() -> None:
    assert read_labels(CAT) == (Label(name="cat", confidence=0.9, topicality=0.7),)


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{CAT}\n```",
        f"```\n{CAT}```\nHope that helps!",
        f"It's a cat. Here you go: {CAT} Anything else?",
        f"<think>A {{dog}}? No.</think>{CAT}",
        f"Perhaps a dog\n</think>\n\n{CAT}",
        "{'labels': [{'name': 'cat', 'confidence': 0.9, 'topicality': 0.7,},],}",
        '{"Labels": [{"Name": " Cat. ", "CONFIDENCE": "90%", "Topicality": 70}]}'.replace("C", "c"),
        '{"labels": [{"name": "cat", "confidence": 90%, "topicality": 0.7}]}',
        '{"name": "cat", "confidence": 0.9, "topicality": 0.7}',
        '[{"name": "cat", "confidence": 0.9, "topicality": 0.7}]',
        '{"result": {"data": {"tags": [{"tag": "cat", "score": "9/10", "relevance": 0.7}]}}}',
        '{"title": "Labels", "labels": [{"label": "cat", "confidence": 0.9, "topicality": 0.7}]}',
        '{"labels": {"cat": {"confidence": 0.9, "topicality": 0.7}}, "count": 1}',
        '{"labels": [{"name": "cat", "confidence": 0.9, "topicality": 0.7}, {"name": "d',
        '{"labels": [{"name": "1. **cat**", "confidence": 0.9, "topicality": 0.7}]}',
        '[{"bbox_2d": [1, 2, 3, 4], "label": "cat", "confidence": 0.9, "topicality": 0.7}]',
    ],
)
def test_labels_are_found_however_they_are_written(text: str) -> None:
    (label,) = (found for found in read_labels(text) if found.name == "cat")
    assert (label.confidence, label.topicality) == (0.9, 0.7)


@pytest.mark.parametrize(
    "text",
    [
        '["cat", "dog"]',
        '{"labels": ["cat", "dog"]}',
        '{"labels": "cat, dog"}',
        '{"name": "cat"}\n{"name": "dog"}',
        '{"labels": [{"name": "cat"}, {"name": "dog"}], "nsfw": false}',
        '{"animals": ["cat"], "others": ["dog"]}',
    ],
)
def test_names_without_a_confidence_have_the_default(text: str) -> None:
    assert named(text) == {"cat": 0.5, "dog": 0.5}


@pytest.mark.parametrize("name", ["F-16", "Boeing 747-400", "COVID-19", "B\u201352", "Route 66"])
def test_a_number_that_belongs_to_a_name_is_no_confidence(name: str) -> None:
    assert named(json.dumps([name, "cat"])) == {name: 0.5, "cat": 0.5}


def test_a_percentage_in_a_name_stays_as_it_is() -> None:
    assert named('{"labels": [{"name": "sale: 50% off", "confidence": 0.9}]}') == {
        "sale: 50% off": 0.9
    }


@pytest.mark.parametrize(
    "text",
    [
        '{"cat": 0.9, "dog": "60%"}',
        '["cat: 0.9", "dog (60%)"]',
        '["cat - 0.9", "dog - 60%"]',
        '["cat-0.9", "dog \u2013 60 %"]',
    ],
)
def test_names_may_carry_their_confidence(text: str) -> None:
    assert named(text) == {"cat": 0.9, "dog": 0.6}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("0.85", 0.85),
        ("85", 0.85),
        ('"85%"', 0.85),
        ('"85 %"', 0.85),
        ("1%", 0.01),
        ('".85"', 0.85),
        ("1.0001", 1),
        ("250", 1),
        ('"8/10"', 0.8),
        ('"1/0"', 0.5),
        ('"High"', 0.85),
        ('"who knows"', 0.5),
        ("true", 1),
        ("NaN", 0.5),
        ("Infinity", 0.5),
        ("1e999", 0.5),
        ("9" * 400, 0.5),
        ("null", 0.5),
        ("[]", 0.5),
        ("-3", 0.5),
        ("0", 0.5),
    ],
)
def test_confidence_is_between_0_and_1(written: str, read: float) -> None:
    assert named(f'{{"labels": [{{"name": "cat", "confidence": {written}}}]}}') == {"cat": read}


def test_a_label_with_confidence_0_is_left_out() -> None:
    assert named('{"cat": 0.9, "dog": 0}') == {"cat": 0.9}


def test_labels_come_once_with_the_most_confident_first() -> None:
    text = '{"labels": [{"name": "dog", "confidence": 0.3}, {"name": "cat", "confidence": 0.8},'
    text += '{"name": "DOG", "confidence": 0.6}]}'
    assert [(label.name, label.confidence) for label in read_labels(text)] == [
        ("cat", 0.8),
        ("DOG", 0.6),
    ]


@pytest.mark.parametrize("categories", ['"animal, pet"', '["animal", "pet", "pet", "", 3]'])
def test_categories_are_a_list_or_one_string(categories: str) -> None:
    (label,) = read_labels(f'[{{"name": "cat", "categories": {categories}}}]')
    assert label.categories == ("animal", "pet")


@pytest.mark.parametrize(
    "name", ["", "  ", "...", "string", "42", "x" * 65, "a cat that sits on a mat"]
)
def test_what_is_not_a_name_is_left_out(name: str) -> None:
    assert named(json.dumps(["cat", name, {"name": name}])) == {"cat": 0.5}


def test_the_labels_of_a_model_that_repeats_itself_are_limited() -> None:
    assert len(read_labels(json.dumps([f"cat{number}" for number in range(5000)]))) == 50


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "{}",
        "[]",
        "null",
        "42",
        '{"labels": []}',
        '{"labels": [{',
        '{"labels": [{"name": "", "confidence": 0}]}',
        '{"nsfw": true, "confidence": 0.9}',
        '"I cannot help"',
        "I'm sorry, but I can't help with that.",
        "<think>A cat, so I answer " + CAT,
        "[" * 50_000,
        '{"a":' * 900 + "1" + "}" * 900,
        '{"a":' * 60 + '{"name": "cat"}' + "}" * 60,
    ],
)
def test_an_answer_without_labels_is_unusable(text: str) -> None:
    with pytest.raises(UnusableAnswer, match="no labels"):
        read_labels(text)


def test_labels_can_be_encoded_as_utf_8() -> None:
    (label,) = read_labels(r'["caf\u00e9 \ud800\u0000"]')
    assert label.model_dump_json().encode()
    assert label.name == "café"


@pytest.mark.parametrize(
    "text",
    [
        "I see [something] nice",
        "- cat {hm}",
        "{a, a, " * 40 + "a, " * 4500,
        '{"x": ' * 100_000,
    ],
)
def test_prose_with_brackets_and_nonsense_name_no_labels(text: str) -> None:
    with pytest.raises(UnusableAnswer):
        read_labels(text)


def test_an_answer_after_long_thinking_is_read() -> None:
    thinking = "<think>" + "is it a cat? " * 5000 + "</think>"
    assert read_labels(thinking + '{"labels": ["cat"]}')[0].name == "cat"


@pytest.mark.parametrize("name", WORDS)
def test_names_in_all_scripts_stay_as_they_are(name: str) -> None:
    harmful = f"\u202e{name}\u2069\x00"
    assert named(json.dumps({"labels": [harmful]})) == {name: 0.5}
    assert named(json.dumps({"labels": [harmful]}, ensure_ascii=False)) == {name: 0.5}


def test_half_characters_in_names_crash_nothing() -> None:
    assert named('{"labels": ["cat\\ud800", "\\ud83d\\ude00 smile", "\\udc00"]}') == {
        "cat": 0.5,
        "😀 smile": 0.5,
    }


def test_a_refusal_is_no_label() -> None:
    assert named('["I cannot see", "cat", "no image provided", "Lo siento"]') == {"cat": 0.5}
    with pytest.raises(UnusableAnswer):
        read_labels('["I am unable", "Tut mir leid"]')
