"""What labels and verdicts are made of an LLM's text."""

import contextlib
import json
import time

import pytest

from shared.tasks.labels import Label
from shared.tasks.nsfw import NsfwStatus
from workers.llm.lenient_parsing import UnusableAnswer
from workers.llm.tasks.caption import read_caption
from workers.llm.tasks.labels import read_labels
from workers.llm.tasks.nsfw import read_nsfw

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
def test_names_alone_have_the_default_confidence(text: str) -> None:
    assert named(text) == {"cat": 0.5, "dog": 0.5}


@pytest.mark.parametrize("text", ['{"cat": 0.9, "dog": "60%"}', '["cat: 0.9", "dog (60%)"]'])
def test_names_may_carry_their_confidence(text: str) -> None:
    assert named(text) == {"cat": 0.9, "dog": 0.6}


@pytest.mark.parametrize(
    ("said", "read"),
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
def test_confidence_is_a_share(said: str, read: float) -> None:
    assert named(f'{{"labels": [{{"name": "cat", "confidence": {said}}}]}}') == {"cat": read}


def test_a_label_that_is_not_there_is_left_out() -> None:
    assert named('{"cat": 0.9, "dog": 0}') == {"cat": 0.9}


def test_labels_come_surest_first_and_once() -> None:
    text = '{"labels": [{"name": "dog", "confidence": 0.3}, {"name": "cat", "confidence": 0.8},'
    text += '{"name": "DOG", "confidence": 0.6}]}'
    assert [(label.name, label.confidence) for label in read_labels(text)] == [
        ("cat", 0.8),
        ("DOG", 0.6),
    ]


@pytest.mark.parametrize("categories", ['"animal, pet"', '["animal", "pet", "pet", "", 3]'])
def test_categories_come_as_a_list_or_in_one_string(categories: str) -> None:
    (label,) = read_labels(f'[{{"name": "cat", "categories": {categories}}}]')
    assert label.categories == ("animal", "pet")


@pytest.mark.parametrize(
    "name", ["", "  ", "...", "string", "42", "x" * 65, "a cat that sits on a mat"]
)
def test_what_is_no_name_is_left_out(name: str) -> None:
    assert named(json.dumps(["cat", name, {"name": name}])) == {"cat": 0.5}


def test_a_model_that_repeats_itself_is_stopped() -> None:
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
def test_no_labels_are_an_error(text: str) -> None:
    with pytest.raises(UnusableAnswer, match="no labels"):
        read_labels(text)


@pytest.mark.parametrize("filler", ["[", "{", '"', " ", "\n", "}\n", "9", "</think", "a: ", "**"])
def test_babble_takes_no_time(filler: str) -> None:
    begun = time.process_time()
    for text in (
        filler * 100_000,
        filler * 4000 + "}]" * 4000,
        f'{{"labels": ["{filler * 100_000}',
    ):
        with contextlib.suppress(UnusableAnswer):
            read_labels(text)
        with contextlib.suppress(UnusableAnswer):
            read_nsfw(text)
        with contextlib.suppress(UnusableAnswer):
            read_caption(text)
    assert time.process_time() - begun < 5


def test_results_can_be_sent_as_utf_8() -> None:
    (label,) = read_labels(r'["caf\u00e9 \ud800\u0000"]')
    assert label.model_dump_json().encode()
    assert label.name == "café"


SAFE, UNSAFE = NsfwStatus.SAFE, NsfwStatus.UNSAFE


@pytest.mark.parametrize(
    ("text", "status", "score"),
    [
        ('{"nsfw": false, "nsfw_confidence": 0.02}', SAFE, 0.02),
        ('{"nsfw": true, "nsfw_confidence": 0.9}', UNSAFE, 0.9),
        ('```json\n{"NSFW": "Yes", "NSFW Confidence": "90%"}\n```', UNSAFE, 0.9),
        ('{"isNsfw": True, "confidence": 97}', UNSAFE, 0.97),
        # Sure that it is safe, not that it is unsafe.
        ('{"nsfw": false, "nsfw_confidence": 0.95}', SAFE, 0.05),
        ('{"safe": true, "confidence": 0.9}', SAFE, 0.1),
        ('{"nsfw": false, "confidence": 0.5}', SAFE, 0.49),
        ('{"nsfw": true, "nsfw_confidence": 0.1}', UNSAFE, 0.5),
        ('{"nsfw": true}', UNSAFE, 1),
        ('{"sfw": "no"}', UNSAFE, 1),
        ('{"nsfw": "false"}', SAFE, 0),
        ('{"nsfw": 0.8}', UNSAFE, 0.8),
        ('{"nsfw": "15%"}', SAFE, 0.15),
        ('{"score": 0.7}', UNSAFE, 0.7),
        ('{"result": {"nsfw": {"flag": 1, "nsfw_score": 0.7}}}', UNSAFE, 0.7),
        ('{"status": "unsafe", "score": 0.8}', UNSAFE, 0.8),
        ('{"label": "normal", "score": 0.9}', SAFE, 0.1),
        ('[{"nsfw": false}, {"nsfw": true}]', UNSAFE, 1),
        ('{"labels": [{"name": "a", "nsfw": false}, {"name": "b", "nsfw": true}]}', UNSAFE, 1),
        ("Unsafe.", UNSAFE, 1),
        ('{"porn": 0.3, "hentai": 0.3, "sexy": 0.3, "neutral": 0.1}', UNSAFE, 0.9),
        ('[{"label":"normal","score":0.99},{"label":"nsfw","score":0.01}]', SAFE, 0.01),
        ('{"safe": 0.98}', SAFE, 0.02),
        ('"SFW"', SAFE, 0),
        ("Not safe for work", UNSAFE, 1),
    ],
)
def test_verdicts_are_found_however_they_are_written(
    text: str, status: NsfwStatus, score: float
) -> None:
    verdict = read_nsfw(text)
    assert (verdict.status, verdict.score, verdict.threshold) == (status, score, 0.5)


@pytest.mark.parametrize(
    "text",
    [
        '{"Drawing": 0.1, "HENTAI": 2, "neutral": "7%", "Porn": 0.8, "sexy": 0.05}',
        '{"classes": {"Drawing": 0.1, "hentai": 0.02, "neutral": 0.07, "porn": 80, "sexy": 5}}',
        """[{"class": "Drawing", "score": 0.1}, {"class": "Hentai", "score": 0.02},
            {"class": "Neutral", "score": 0.07}, {"class": "Porn", "score": 0.8},
            {"class": "Sexy", "score": 0.05}]""",
    ],
)
def test_class_scores_are_read_in_any_case(text: str) -> None:
    verdict = read_nsfw(text)
    assert (verdict.status, verdict.score) == (UNSAFE, 0.87)  # they exclude each other
    assert (verdict.drawing, verdict.hentai, verdict.neutral) == (0.1, 0.02, 0.07)
    assert (verdict.porn, verdict.sexy) == (0.8, 0.05)


def test_a_lone_neutral_counts_against() -> None:
    assert read_nsfw('{"neutral": 0.9}').score == 0.1


def test_scores_from_the_threshold_on_are_unsafe() -> None:
    assert read_nsfw('{"score": 0.3}', 0.3).status == UNSAFE
    assert read_nsfw('{"score": 0.29}', 0.3).status == SAFE
    # No flag is contradicted by its own score, whatever the threshold.
    assert read_nsfw('{"nsfw": true, "nsfw_confidence": 0.6}', 0.9).score == 0.9
    assert read_nsfw('{"nsfw": false, "nsfw_confidence": 0.25}', 0.2).score == 0.19


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "[" * 50_000,
        '{"confidence": 0.9}',
        '{"nsfw": null}',
        '{"nsfw": NaN}',
        '{"labels": [{',
        '{"status": "blurry", "score": 0.9}',
        "Nice photo.",
    ],
)
def test_no_verdict_is_an_error(text: str) -> None:
    with pytest.raises(UnusableAnswer, match="whether the image is safe"):
        read_nsfw(text)


@pytest.mark.parametrize(
    "text",
    [
        "I see [something] nice",
        "- cat {hm}",
        "{a, a, " * 40 + "a, " * 4500,
        '{"x": ' * 100_000,
    ],
)
def test_prose_with_brackets_and_babble_name_no_labels(text: str) -> None:
    with pytest.raises(UnusableAnswer):
        read_labels(text)


def test_a_form_that_was_not_filled_in_is_no_verdict() -> None:
    with pytest.raises(UnusableAnswer):
        read_nsfw('{"drawing": 0, "hentai": 0, "neutral": 0, "porn": 0, "sexy": 0}')


def test_an_answer_after_long_thoughts_is_read() -> None:
    thoughts = "<think>" + "is it a cat? " * 5000 + "</think>"
    assert read_labels(thoughts + '{"labels": ["cat"]}')[0].name == "cat"
