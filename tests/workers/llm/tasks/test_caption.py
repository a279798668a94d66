"""How a caption is read from a language model's answer."""

import json

import pytest

from tests.scripts import SCRIPTS
from tests.workers.captions.examples import read
from workers.llm.lenient_parsing import UnusableAnswer
from workers.llm.tasks.caption import read_answer


@pytest.mark.parametrize(
    "text",
    [
        "A cat sits on a mat.",
        '  "A cat sits on a mat."\n',
        "\u201cA cat sits on a mat.\u201d",
        "**A cat** sits on *a mat*.",
        "# Caption\n\nA cat sits on a mat.",
        "## Caption: A cat sits on a mat.",
        "# Caption\nA cat sits on a mat.<|im_end|>",
        "### Description\n\n**A cat sits on a mat.**",
        "Here is a caption: A cat sits on a mat.",
        "Here's a short caption for the image:\n\n> A cat sits on a mat.",
        "Sure! Here\u2019s the description you asked for:\nA cat sits\non a mat.",
        "**Caption:** A cat sits on a mat.",
        "Image description - short:\n\n1. A cat sits on a mat.\n2. A feline rests.",
        "Here are some captions:\n- A cat sits on a mat.\n- A feline rests.",
        "A cat sits on a mat.\n\nLet me know if you need another one!",
        '{"caption": "A cat sits on a mat."}',
        '```json\n{"Caption": "A cat sits on a mat."}\n```',
        'Here is the JSON:\n```json\n{"caption": "A cat sits on a mat."}\n```',
        'Here you go:\n\n{"caption": "A cat sits on a mat."}\n\nIs there anything else?',
        '{"confidence": 0.9, "result": {"text": "A cat sits on a mat.",}}',
        '["A cat sits on a mat."]',
        '{"scene": "A cat sits on a mat."}',
        "<think>A dog?\n\nNo, a cat.</think>\n\nA cat sits on a mat.",
        "A dog? No, a cat.</think>A cat sits on a mat.",
        "The image shows that a cat sits on a mat.",
        "**In this picture,** a cat sits on a mat.",
        "Caption: The image shows that a cat sits on a mat.",
        "A cat sits on a mat. A cat sits on a mat. A cat sits on a mat. A cat",
        "A cat sits on a mat. The cat and the " + "cat and the " * 300,
    ],
)
def test_a_caption_is_one_plain_sentence(text: str) -> None:
    assert read_answer(text).text == "A cat sits on a mat."


@pytest.mark.parametrize(
    "text",
    [
        "Great white shark under the surface.",
        "Here a child plays: the sun is low.",
        'A sign says "stop".',
        "rgb 200 0 0",
        "Cat",
        "A file named big_old_cat.jpg in 3 * 4 tiles.",
        "\u732b\u304c\u5ea7\u3063\u3066\u3044\u308b\u3002",
    ],
)
def test_a_plain_caption_stays_as_it_is(text: str) -> None:
    assert read_answer(text).text == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n ",
        '""',
        "...",
        "{}",
        '{"labels": [{',
        "```\n```",
        "<think>Hm.",
        "Here is a caption:",
        "I'm sorry, but I can't help.",
        "I\u2019m unable to see it.",
        "In this image, I cannot see anything.",
        "As an AI, I do not see.",
        "Es tut mir leid, ich kann keine Caption schreiben.",
        '{"caption": "Lo siento, no puedo ayudar."}',
        '"抱歉我无法协助。"',
        "caption " * 200,
        '{"caption": null}',
        '{"caption": "None"}',
    ],
)
def test_an_answer_without_a_caption_is_unusable(text: str) -> None:
    with pytest.raises(UnusableAnswer, match="caption"):
        read_answer(text)


def test_captions_can_be_encoded_as_utf_8() -> None:
    assert read_answer("A cat \ud800 sits\0.").text == "A cat sits."


def test_a_percentage_in_json_stays_as_it_is() -> None:
    text = "A sign in a shop window says: 50% off."
    assert read_answer(json.dumps({"caption": text})).text == text


def test_quotes_around_words_in_a_caption_are_kept() -> None:
    text = '"Stop" is on a sign that says "go"'
    assert read_answer(text).text == text


@pytest.mark.parametrize("script", [name for name in SCRIPTS if name not in ("emoji", "flag")])
def test_captions_in_all_scripts_stay_as_they_are(script: str) -> None:
    text = SCRIPTS[script]
    for answer in (text, f'"{text}"', f"**{text}**", f"\u202e{text}\u2069\x00", f"Caption: {text}"):
        assert read_answer(answer).text == text
    for ascii_only in (True, False):
        answer = json.dumps({"caption": text}, ensure_ascii=ascii_only)
        assert read_answer(answer).text == text


@pytest.mark.parametrize("text", [*read("no_refusals.txt"), *read("no_loops.txt")])
def test_unusual_captions_are_captions(text: str) -> None:
    assert read_answer(text).text.casefold() in text.casefold()
