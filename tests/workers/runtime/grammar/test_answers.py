"""Answers of a random model by a schema: valid, whatever the limit, in mixed batches."""

import json
import random
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any

import jsonschema
import pytest
import torch

from shared.errors import TooFewTokens
from shared.messages import JsonObject
from tests.workers.runtime.grammar.grammar_lab import (
    PERSON,
    SCHEMAS,
    decoder,
    generate,
    grammars,
    steer,
    tokenizer,
)
from workers.llm.tasks.labels import SCHEMA as LABELS_SCHEMA
from workers.llm.tasks.nsfw import SCHEMA as NSFW_SCHEMA
from workers.runtime.grammar.answer import Answer

LIMITS = (70, 24, 8, 40, 64, 100, 50)
BATCHES = (4, pytest.param(40, marks=pytest.mark.slow))
ROWS = 5


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def begin(schema: JsonObject, limit: int) -> Answer:
    return Answer(grammars().compile(schema), grammars(), limit)


def shortest(schema: JsonObject) -> int:
    return len(grammars().compile(schema).shortest or ())


def check(text: str, schema: JsonObject) -> None:
    jsonschema.validate(json.loads(text), schema)


@pytest.mark.parametrize("is_static", [False, True], ids=["loop", "static"])
@pytest.mark.parametrize("batches", BATCHES)
def test_all_answers_of_a_random_model_fit_their_schemas_at_any_limit(
    batches: int,
    is_static: bool,  # noqa: FBT001
) -> None:
    checked, schemas, chance = 0, cycle(SCHEMAS.values()), random.Random(1)  # noqa: S311
    for number in range(batches):
        limit = LIMITS[number % len(LIMITS)]
        fitting = (schema for schema in schemas if shortest(schema) <= limit)
        chosen: list[JsonObject | None] = [*islice(fitting, ROWS), None, None]
        chance.shuffle(chosen)
        answers = [begin(schema, limit) if schema else None for schema in chosen]
        if is_static:
            rows = steer(answers, limit, seed=number)
        else:
            rows = generate(answers, limit, seed=number, sample=number % 2 == 1)
        for schema, answer, row in zip(chosen, answers, rows, strict=True):
            assert len(row) <= limit
            if schema and answer:
                check(answer.text, schema)
                checked += 1
    assert checked == batches * ROWS


@pytest.mark.parametrize(
    "limit", [40, *(pytest.param(limit, marks=pytest.mark.slow) for limit in (64, 100))]
)
def test_a_steered_model_writes_what_the_loop_writes(limit: int) -> None:
    runner: Any = decoder()._runner
    before = runner.replays
    schemas = [schema for schema in SCHEMAS.values() if shortest(schema) <= limit]
    ways = []
    for write in (generate, steer):
        answers = [*(begin(schema, limit) for schema in schemas), None]
        rows = write(answers, limit, limit)
        ways.append((rows[-1], [answer.text for answer in answers if answer]))
    assert ways[0] == ways[1]
    assert runner.replays > before


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_shortest_limit_of_a_schema_is_enough_and_one_less_is_refused(name: str) -> None:
    schema = SCHEMAS[name]
    limit = shortest(schema)
    for seed in range(2):
        answer = begin(schema, limit)
        generate([answer], limit, seed)
        check(answer.text, schema)
    with pytest.raises(TooFewTokens, match=f"about {limit} tokens; the limit"):
        begin(schema, limit - 1)


def test_rows_without_a_grammar_are_written_as_without_others_that_have_one() -> None:
    alone = generate([None, None, None], 30, seed=3)
    mixed = generate([None, begin(PERSON, 30), None], 30, seed=3)
    assert (mixed[0], mixed[2]) == (alone[0], alone[2])
    assert mixed[1] != alone[1]


def test_what_was_generated_is_the_answer() -> None:
    answer = begin(NSFW_SCHEMA, 80)
    (row,) = generate([answer], 80, seed=4)
    assert tokenizer().decode(row, skip_special_tokens=True) == answer.text


def test_the_same_seed_gives_the_same_answer_and_others_do_not() -> None:
    texts = []
    for seed in (5, 5, 6):
        answer = begin(LABELS_SCHEMA, 90)
        generate([answer], 90, seed, sample=True)
        texts.append(answer.text)
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize("word", ["true", "false"])
def test_the_model_chooses_between_answers_also_where_no_token_is_left_to_spare(word: str) -> None:
    schema: JsonObject = {"type": "object", "properties": {"a": {"type": "boolean"}}}
    schema["required"] = ["a"]
    answer = begin(schema, len('{"a": false}'))
    wanted = [*tokenizer().encode(f'{{"a": {word}}}'), tokenizer().eos_token_id]
    for token in wanted:
        answer.take([token])
    assert json.loads(answer.text) == {"a": word == "true"}
    assert answer.is_done


def test_a_token_after_which_there_is_no_time_to_end_is_not_taken() -> None:
    answer = begin({"type": "array", "items": PERSON}, 8)
    opening, item = tokenizer().encode("[")[0], tokenizer().encode("{")[0]
    assert answer.take([opening]) == opening
    assert answer.take([item]) != item
    assert json.loads(answer.text) == []


def test_an_answer_may_be_read_at_any_time() -> None:
    answer = begin(PERSON, 60)
    for token in tokenizer().encode('{"name": "caf\u00e9 \U0001f600'):
        answer.take([token])
        check(answer.text, PERSON)
    assert json.loads(answer.text)["name"] == "caf\u00e9 \U0001f600"
    answer.give_up()
    check(answer.text, PERSON)


def test_an_answer_ends_before_a_stop_word() -> None:
    answer = Answer(grammars().compile(PERSON), grammars(), 60, lambda text: text.find(" and"))
    for token in tokenizer().encode('{"name": "dog and cat", "age": 7}'):
        answer.take([token])
    assert answer.is_done
    assert json.loads(answer.text) == {"name": "dog", "age": 0}


def test_a_repetition_stands_once() -> None:
    answer = begin(PERSON, 200)
    for token in tokenizer().encode('{"name": "on and on' + " and on" * 40):
        answer.take([token])
    assert answer.is_done
    assert json.loads(answer.text)["name"].count("and") == 1


def test_a_text_that_must_be_long_is_filled_with_dots() -> None:
    answer = begin({"type": "string", "minLength": 6}, 40)
    for token in tokenizer().encode('"on'):
        answer.take([token])
    answer.give_up()
    assert json.loads(answer.text).strip(".") == "on"
