"""What each task for language models brings, and that every task has it."""

import contextlib
import time

import pytest

from shared.families import FAMILIES, OLLAMA
from shared.tasks.registry import Task
from workers.llm.defaults import LlmDefaults
from workers.llm.lenient_parsing import MAX_OPEN_BRACKETS, UnusableAnswer, read_json
from workers.llm.tasks import LLM_TASKS, labels, nsfw

TASKS = sorted(LLM_TASKS)


def test_every_task_of_the_family_is_there() -> None:
    assert set(LLM_TASKS) == FAMILIES[OLLAMA].tasks


def test_prompts_name_the_fields_of_their_schema() -> None:
    for name in labels.SCHEMA["properties"]["labels"]["items"]["properties"]:
        assert f'"{name}"' in labels.PROMPT
    for name in nsfw.SCHEMA["properties"]:
        assert f'"{name}"' in nsfw.PROMPT


@pytest.mark.parametrize("task", TASKS)
def test_the_second_prompt_keeps_the_first_and_adds_to_it(task: Task) -> None:
    second = LLM_TASKS[task].second_prompt("Count the sheep. ")
    assert second.startswith("Count the sheep.\n\n")
    assert len(second) > 100
    assert LLM_TASKS[task].second_prompt("").strip()


def test_broken_json_is_repaired_unless_so_much_is_open_that_it_takes_long() -> None:
    assert read_json('{"a": ' * MAX_OPEN_BRACKETS + "1") != ""
    assert read_json('{"a": ' * (MAX_OPEN_BRACKETS + 1) + "1") == ""


@pytest.mark.parametrize("filler", ["[", "{", '"', " ", "\n", "}\n", "9", "</think", "a: ", "**"])
def test_nonsense_is_read_quickly(filler: str) -> None:
    begun = time.process_time()
    for text in (
        filler * 100_000,
        filler * 4000 + "}]" * 4000,
        f'{{"labels": ["{filler * 100_000}',
    ):
        for task in TASKS:
            with contextlib.suppress(UnusableAnswer):
                LLM_TASKS[task].read(text, LlmDefaults())
    assert time.process_time() - begun < 5
