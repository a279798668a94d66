"""What a language model is prompted with for a vision task, and how its answers are used."""

from collections.abc import Iterator

import pytest

from shared.errors import OllamaFailed
from shared.tasks import LABELS
from shared.tasks.registry import find_task
from tests.conftest import plain
from tests.ollama.engine_harness import MODEL, running_engine
from tests.ollama_standin import OllamaStandin, Spec
from tests.stack import Stack
from workers.llm.tasks import LLM_TASKS

SCHEMA = {"type": "object", "properties": {"labels": {"type": "array"}}}


@pytest.fixture
def server() -> Iterator[OllamaStandin]:
    with OllamaStandin({MODEL: Spec(thinks=True)}) as standin:
        yield standin


def test_a_model_that_accepts_one_image_is_prompted_image_by_image(
    stack: Stack, server: OllamaStandin
) -> None:
    server.knobs.one_image = True
    with running_engine(stack, server) as harness:
        result = harness.vision(LABELS, [plain(red) for red in (51, 102, 255)])
    assert result[LABELS]
    assert [label.confidence for label in result[LABELS]] == [1.0, 0.4, 0.2]
    assert [(request.body or {})["images"] for request in server.generates()] == [3, 1, 1, 1]


def test_thinking_that_was_cut_off_is_no_caption(stack: Stack, server: OllamaStandin) -> None:
    server.knobs.in_thinking = True
    with running_engine(stack, server) as harness:
        assert harness.caption().endswith("rgb 7 0 0")
        with pytest.raises(OllamaFailed, match="no usable caption"):
            harness.caption(options={"num_predict": 1})


def test_a_schema_and_thinking_are_passed_on(stack: Stack, server: OllamaStandin) -> None:
    with running_engine(stack, server) as harness:
        harness.vision(LABELS, [plain(9)], format=SCHEMA, think=True)
        harness.caption(format="json")
    labels, caption = (request.body or {} for request in server.generates()[:2])
    assert (labels["format"], labels["think"]) == (SCHEMA, True)
    assert (caption["format"], caption["think"]) == ("json", False)


def test_prompts_from_the_environment_are_used(
    stack: Stack, server: OllamaStandin, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [task for task in LLM_TASKS if not find_task(task).needs_text]
    for task in tasks:
        monkeypatch.setenv(f"OLLAMA_{task.upper()}_PROMPT", f"my {task}")
    with running_engine(stack, server) as harness:
        for task in tasks:
            harness.vision(task, [plain(9)])
    prompts = [(request.body or {})["prompt"] for request in server.generates()]
    assert prompts == [f"my {task}" for task in tasks]
