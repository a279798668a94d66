"""Chat models whose answers have a form: labels, NSFW scores, and what a client's schema says."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image

from shared.errors import BadRequest, TooFewTokens, UnusableChat, UnusableForm
from shared.messages import Instructions, JsonObject
from shared.model_spec import ModelSpec
from shared.tasks import ANSWER, CAPTION, LABELS, NSFW
from tests.chat_checkpoints import make_checkpoint
from tests.inputs import prepared
from workers.families.image_text_to_text import ImageTextToText
from workers.llm.tasks import LLM_TASKS
from workers.model.family import LoadContext, PreparedJob
from workers.model.main import run_batch
from workers.model.protocol import JobError
from workers.runtime.chat import Text

SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"title": {"type": "string", "maxLength": 30}, "rooms": {"type": "integer"}},
    "required": ["title", "rooms"],
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ImageTextToText:
    """Return a model with random weights."""
    return load(make_checkpoint("smolvlm", tmp_path_factory.mktemp("models") / "smolvlm"))


def load(folder: Path) -> ImageTextToText:
    parameters = {"dtype": "float32"}  # random weights answer by the last bit
    row = {"name": "m", "family": "image_text_to_text", "source": "x/y", "parameters": parameters}
    spec = ModelSpec.model_validate(row)
    return ImageTextToText(LoadContext(spec, folder, "cpu", 1))


def job(model: ImageTextToText, task: str, **asked: Any) -> PreparedJob:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)
    asked.setdefault("options", {"num_predict": 100})
    instructions = Instructions.model_validate({"tasks": (task,), **asked})
    return PreparedJob([prepared(model, Image.fromarray(pixels))], instructions)


def written(
    model: ImageTextToText, monkeypatch: pytest.MonkeyPatch, *jobs: PreparedJob
) -> list[Any]:
    """Return what the model writes, before it is read."""
    texts: list[Any] = []
    generate = model._chat.generate

    def recorded(*args: Any) -> list[Any]:
        answers = generate(*args)
        texts.extend(answer.text if isinstance(answer, Text) else answer for answer in answers)
        return answers

    monkeypatch.setattr(model._chat, "generate", recorded)
    model.predict(jobs, max_images=len(jobs))
    return texts


@pytest.mark.parametrize("task", [LABELS, NSFW])
def test_a_task_with_a_schema_gets_an_answer_by_it(
    task: str, model: ImageTextToText, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = LLM_TASKS[task].schema
    for format_ in (None, {"type": "object"}):  # which says less than the task
        text, *_ = written(model, monkeypatch, job(model, task, output_schema=format_))
        jsonschema.validate(json.loads(text), schema)


def test_each_job_of_a_batch_has_its_own_schema_or_none(
    model: ImageTextToText, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = job(model, CAPTION, prompt="what is it?")
    other: JsonObject = {"type": "array", "items": {"enum": ["cat", "dog"]}, "minItems": 1}
    jobs = [
        free,
        job(model, CAPTION, output_schema=SCHEMA),
        job(model, CAPTION, output_schema=other),
    ]
    texts = written(model, monkeypatch, *jobs)
    jsonschema.validate(json.loads(texts[1]), SCHEMA)
    jsonschema.validate(json.loads(texts[2]), other)
    assert texts[0] == written(model, monkeypatch, free)[0]


@pytest.mark.parametrize(
    ("asked", "error", "reason"),
    [
        ({"output_schema": {"not": {"type": "string"}}}, UnusableForm, "cannot be used"),
        ({"output_schema": SCHEMA, "options": {"num_predict": 3}}, TooFewTokens, "limit of tokens"),
        ({"prompt": "z" * 4096}, UnusableChat, "the model has room for 4096"),
    ],
    ids=["schema", "limit", "context"],
)
def test_a_job_that_cannot_be_answered_by_its_schema_fails_alone(
    asked: dict[str, Any], error: type[BadRequest], reason: str, model: ImageTextToText
) -> None:
    jobs = [job(model, NSFW), job(model, NSFW, **asked)]
    report = run_batch(model, [x.images for x in jobs], [x.instructions for x in jobs], 2)
    good, bad = report.outcomes
    assert not isinstance(good, JobError)
    assert isinstance(bad, JobError)
    assert bad.error == error.__name__
    assert reason in bad.message


def test_a_tokenizer_that_grammars_cannot_use_makes_forms_of_answers_an_error(
    tmp_path: Path,
) -> None:
    folder = make_checkpoint("smolvlm", tmp_path / "smolvlm")
    file = folder / "tokenizer.json"
    spaces = {"type": "Metaspace", "replacement": "Ġ", "prepend_scheme": "never", "split": True}
    parts = {"decoder": spaces, "pre_tokenizer": spaces}  # which say nothing of bytes
    file.write_text(json.dumps({**json.loads(file.read_text()), **parts}))
    model = load(folder)
    with pytest.raises(UnusableForm, match="cannot keep to a JSON schema"):
        model.check(job(model, ANSWER, prompt="?", output_schema=SCHEMA).instructions)
    model.check(job(model, ANSWER, prompt="?").instructions)
    model.check(job(model, LABELS, output_schema=SCHEMA).instructions)  # read leniently


def test_stop_words_and_sampling_leave_answers_whole(
    model: ImageTextToText, monkeypatch: pytest.MonkeyPatch
) -> None:
    for options in (
        {"stop": ["a", "e", ","]},
        {"temperature": 1.5, "top_k": 5, "top_p": 0.9, "seed": 1},
        {"repeat_penalty": 5.0},
    ):
        asked = job(model, CAPTION, output_schema=SCHEMA, options={"num_predict": 60, **options})
        jsonschema.validate(json.loads(written(model, monkeypatch, asked)[0]), SCHEMA)


def test_answers_by_a_schema_are_drawn_as_the_checkpoint_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_checkpoint("smolvlm", tmp_path / "smolvlm")
    config = folder / "generation_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "top_k": 1}))
    model = load(folder)
    texts = [
        written(model, monkeypatch, job(model, CAPTION, output_schema=SCHEMA, options=options))[0]
        for options in (
            {"num_predict": 40},
            {"num_predict": 40, "temperature": 1.5, "seed": 1},
            {"num_predict": 40, "temperature": 1.5, "seed": 1, "top_k": 0},
        )
    ]
    assert texts[0] == texts[1] != texts[2]
