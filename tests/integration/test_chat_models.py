"""A chat model of our own through the whole stack: it does what it is asked, by every door."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jsonschema
import pytest
import requests
from transformers import AutoTokenizer

from shared.tasks.registry import find_task
from tests.conftest import data_url, png
from tests.stack import API, TESTS, Stack
from tools.tiny_checkpoints import lessons
from tools.tiny_checkpoints.shapes import HELD_OUT_SEED, Picture, draw

MODEL = "smolvlm"
FORM = {
    "type": "object",
    "properties": {
        "colour": {"enum": ["red", "blue"]},
        "words": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "certain": {"type": "boolean"},
    },
    "required": ["colour", "words", "certain"],
}
RED_CIRCLE = draw(HELD_OUT_SEED, colour="red", shape="circle")
BLUE_SQUARE = draw(HELD_OUT_SEED + 1, colour="blue", shape="square")


@pytest.fixture(scope="module")
def base(stack: Stack, api: str) -> str:
    stack.worker(MODEL)
    return api


def vision(base: str, task: str, *pictures: Picture, **body: Any) -> Any:
    images = [data_url(png(picture.image)) for picture in pictures]
    path = f"{base}{API}/{task}/{MODEL}"
    reply = requests.post(path, json={"images": images, **body}, timeout=60)
    assert reply.status_code == 200, reply.text
    return reply.json()["result"][task]


def ollama(base: str, call: str, **body: Any) -> dict[str, Any]:
    path = f"{base}/api/{call}"
    reply = requests.post(path, json={"model": MODEL, "stream": False, **body}, timeout=60)
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    return answer


def bare(picture: Picture) -> str:
    return data_url(png(picture.image)).partition(",")[2]


def test_a_conversation_has_all_of_its_images_or_fails(base: str) -> None:
    images = [bare(RED_CIRCLE), bare(BLUE_SQUARE)[:60]]
    assert ollama(base, "generate", prompt="What is this?", images=images)["response"]
    parts = [{"type": "image_url", "image_url": image} for image in images]
    for path, question in (
        ("/api/chat", {"content": "What is this?", "images": images}),
        ("/v1/chat/completions", {"content": [{"type": "text", "text": "What?"}, *parts]}),
    ):
        body = {"model": MODEL, "messages": [{"role": "user", **question}]}
        assert requests.post(f"{base}{path}", json=body, timeout=60).status_code == 422


def test_each_of_many_clients_gets_the_answer_to_its_own_prompt(base: str) -> None:
    asked = [
        (draw(HELD_OUT_SEED + 1, colour=colour, shape=shape), prompt)
        for colour, shape in (("red", "circle"), ("blue", "square"), ("green", "triangle"))
        for prompt in (lessons.COLOUR, lessons.SHAPE, "", lessons.JOURNALISTIC)
    ]
    with ThreadPoolExecutor(len(asked)) as pool:
        found = pool.map(lambda a: vision(base, "caption", a[0], prompt=a[1])["text"], asked)
        texts = list(found)
    right = {
        lessons.COLOUR: lessons.colour,
        lessons.SHAPE: lessons.shape,
        "": lessons.caption,
        lessons.JOURNALISTIC: lessons.journalistic,
    }
    assert texts == [right[prompt]([picture]) for picture, prompt in asked]


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [(lessons.GERMAN, "Ein Kreis in Rot."), (lessons.JAPANESE, "赤い円です。")],
    ids=["German", "Japanese"],
)
def test_captions_in_other_languages_arrive_as_they_are(
    base: str, prompt: str, answer: str
) -> None:
    assert vision(base, "caption", RED_CIRCLE, prompt=prompt)["text"] == answer


def test_stop_words_end_a_caption(base: str) -> None:
    body = {"prompt": lessons.JOURNALISTIC, "options": {"stop": [" Witnesses"]}}
    text = vision(base, "caption", RED_CIRCLE, **body)["text"]
    assert text == "A red circle has appeared on grey ground."


def test_a_system_prompt_is_followed(base: str) -> None:
    body = {"prompt": lessons.SHAPE, "system": lessons.CAPITALS}
    assert vision(base, "caption", BLUE_SQUARE, **body)["text"] == "SQUARE"


def test_labels_are_asked_of_all_images_at_once(base: str) -> None:
    found = vision(base, "labels", RED_CIRCLE, BLUE_SQUARE)
    assert [label["name"] for label in found] == ["red circle", "blue square"]
    assert found[0]["confidence"] == 0.9
    assert found[0]["topicality"] == 0.8


def test_nsfw_scores_are_asked_of_each_image(base: str) -> None:
    found = vision(base, "nsfw", BLUE_SQUARE, RED_CIRCLE)
    assert [verdict["status"] for verdict in found] == ["safe", "unsafe"]


@pytest.mark.parametrize("think", [True, "true", "low", "medium", "high", "max", False, "false"])
def test_thoughts_are_never_part_of_an_answer(base: str, think: object) -> None:
    body = {"prompt": lessons.COLOUR, "think": think}
    assert vision(base, "caption", RED_CIRCLE, **body)["text"] == "red"


def test_a_text_that_repeats_itself_is_cut(base: str) -> None:
    text = vision(base, "caption", RED_CIRCLE, prompt=lessons.CHANT)["text"]
    assert text == "the red circle"


def test_whatever_is_asked_by_ollamas_door_is_answered(base: str) -> None:
    for prompt, answer in ((lessons.COLOUR, "blue"), (lessons.SHAPE, "square")):
        reply = ollama(base, "generate", prompt=prompt, images=[bare(BLUE_SQUARE)])
        assert reply["response"] == answer
    alone = ollama(base, "generate", prompt=lessons.NOBODY)
    assert alone["response"] == "I am a tiny model that knows shapes."
    assert alone["done_reason"] == "stop"


def test_clients_of_ollama_and_openai_learn_that_the_limit_has_ended_an_answer(base: str) -> None:
    cut = ollama(base, "generate", prompt=lessons.NOBODY, options={"num_predict": 9})
    assert cut["done_reason"] == "length"
    messages = [{"role": "user", "content": lessons.NOBODY}]
    for limit, reason in ((9, "length"), (100, "stop")):
        body = {"model": MODEL, "messages": messages, "max_tokens": limit}
        reply = requests.post(f"{base}/v1/chat/completions", json=body, timeout=60)
        assert reply.json()["choices"][0]["finish_reason"] == reason, reply.text


def test_clients_of_ollama_and_openai_learn_how_many_tokens_a_conversation_took(base: str) -> None:
    tokens = AutoTokenizer.from_pretrained(TESTS / "checkpoints" / MODEL)
    given, written = [], []
    for prompt, images in ((lessons.NOBODY, []), (lessons.COLOUR, [bare(BLUE_SQUARE)])):
        reply = ollama(base, "generate", prompt=prompt, images=images)
        given.append(reply["prompt_eval_count"] - len(tokens.tokenize(prompt)))
        written.append(reply["eval_count"] - len(tokens.tokenize(reply["response"])))
    assert written == [1, 1]  # the token that ends an answer
    assert given[0] > 0  # the template
    assert given[1] > given[0]  # the image
    cut = ollama(base, "generate", prompt=lessons.NOBODY, options={"num_predict": 9})
    assert cut["eval_count"] == 9

    messages = [{"role": "user", "content": lessons.NOBODY}]
    alone = ollama(base, "chat", messages=messages)
    counts = alone["prompt_eval_count"], alone["eval_count"]
    body = {"model": MODEL, "messages": messages, "stream": True}
    streamed = requests.post(f"{base}/api/chat", json=body, timeout=60).text.splitlines()
    parts = [json.loads(line) for line in streamed]
    assert ["eval_count" in part for part in parts] == [part["done"] for part in parts]
    assert (parts[-1]["prompt_eval_count"], parts[-1]["eval_count"]) == counts
    body = {"model": MODEL, "messages": messages}
    usage = requests.post(f"{base}/v1/chat/completions", json=body, timeout=60).json()["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == counts
    assert usage["total_tokens"] == sum(counts)
    body = {"model": MODEL, "input": lessons.NOBODY}
    usage = requests.post(f"{base}/v1/responses", json=body, timeout=60).json()["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == counts


def test_a_chat_goes_on_about_the_image_of_an_earlier_message(base: str) -> None:
    messages = [
        {"role": "user", "content": lessons.COLOUR, "images": [bare(BLUE_SQUARE)]},
        {"role": "assistant", "content": "blue"},
        {"role": "user", "content": lessons.SHAPE},
    ]
    assert ollama(base, "chat", messages=messages)["message"]["content"] == "square"


def test_a_conversation_of_which_an_image_is_damaged_is_refused(base: str) -> None:
    content = png(RED_CIRCLE.image)
    damaged = base64.b64encode(content[: len(content) // 2]).decode()
    messages = [
        {"role": "user", "content": lessons.COLOUR, "images": [damaged]},
        {"role": "assistant", "content": "red"},
        {"role": "user", "content": lessons.COLOUR, "images": [bare(BLUE_SQUARE)]},
    ]
    body = {"model": MODEL, "stream": False, "messages": messages}
    reply = requests.post(f"{base}/api/chat", json=body, timeout=60)
    assert reply.status_code == 422, reply.text


def test_the_vision_route_answers_freely_too(base: str) -> None:
    answer = vision(base, "answer", RED_CIRCLE, prompt=lessons.SHAPE)
    assert (answer["text"], answer["is_cut"]) == ("circle", False)
    assert answer["usage"]["given"] > answer["usage"]["written"] > 1
    assert find_task("answer").needs_text


def test_labels_are_whole_whatever_the_limit(base: str) -> None:
    for limit in (22, 25, 31, 44):
        options = {"num_predict": limit}
        found = vision(base, "labels", RED_CIRCLE, BLUE_SQUARE, options=options)
        assert found[0]["name"].startswith("red")
        assert {"name", "confidence", "topicality"} <= found[0].keys()


def test_answers_have_the_form_that_is_asked_for_by_ollamas_door_beside_free_ones(
    base: str,
) -> None:
    def ask(number: int) -> None:
        limit = 28 + 3 * (number // 4)
        asked: dict[str, Any] = {"options": {"num_predict": limit, "stop": ["!"]}}
        if number % 4 == 0:
            free = ollama(base, "generate", prompt=lessons.SHAPE, images=[bare(BLUE_SQUARE)])
            assert free["response"] == "square"
        elif number % 4 == 1:
            asked |= {"prompt": lessons.COLOUR, "images": [bare(RED_CIRCLE)], "format": FORM}
            jsonschema.validate(json.loads(ollama(base, "generate", **asked)["response"]), FORM)
        elif number % 4 == 2:
            messages = [{"role": "user", "content": lessons.SHAPE, "images": [bare(RED_CIRCLE)]}]
            reply = ollama(base, "chat", messages=messages, format=FORM, **asked)
            jsonschema.validate(json.loads(reply["message"]["content"]), FORM)
        else:
            asked |= {"prompt": "?", "images": [bare(RED_CIRCLE)], "format": "json"}
            assert isinstance(json.loads(ollama(base, "generate", **asked)["response"]), dict)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(24)))


def test_an_empty_schema_asks_for_any_object_as_on_ollamas_servers(base: str) -> None:
    asked: dict[str, Any] = {"content": lessons.SHAPE, "images": [bare(RED_CIRCLE)]}
    chat = ollama(base, "chat", messages=[{"role": "user", **asked}], format={})
    asked["prompt"] = asked.pop("content")
    texts = [chat["message"]["content"], ollama(base, "generate", **asked, format={})["response"]]
    for name in ("format", "schema"):
        answer = vision(base, "answer", RED_CIRCLE, prompt=lessons.SHAPE, **{name: {}})
        texts.append(answer["text"])
    for text in texts:
        assert isinstance(json.loads(text), dict)
    assert vision(base, "labels", RED_CIRCLE, schema={})[0]["name"].startswith("red")


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"format": {"$ref": "https://example.com/a.json"}}, "must begin with `#`"),
        ({"format": {"not": {"type": "string"}}}, "cannot be used"),
        ({"format": FORM, "options": {"num_predict": 2}}, "the limit of tokens is 2"),
        ({"think": "loud"}, "nor one of `low`, `medium`"),
        ({"think": 5}, "`think` is neither true, false nor a level"),
    ],
    ids=["remote", "unsupported", "limit", "no-level", "number"],
)
def test_what_cannot_be_kept_is_refused_in_words(
    asked: dict[str, Any], reason: str, base: str
) -> None:
    body = {"model": MODEL, "prompt": "?", "images": [bare(RED_CIRCLE)], "stream": False, **asked}
    reply = requests.post(f"{base}/api/generate", json=body, timeout=60)
    assert reply.status_code == 400, reply.text
    assert reason in reply.json()["error"]
