"""What becomes of a text that is no caption: a second attempt, then an error, never a success."""

from typing import Any
from unittest.mock import Mock

import pytest

from shared.messages import Instructions, Result
from shared.model_spec import ModelSpec
from shared.options import Options
from shared.tasks import CAPTION, LABELS, NSFW
from shared.tasks.registry import Task
from tests.conftest import plain, shape
from tests.stack import TESTS
from workers.model.family import LoadContext, VisionModel, load_model
from workers.model.main import prepare, run_batch
from workers.model.protocol import JobError
from workers.preparing.pixels import whole

PICTURES = [shape("red", "circle"), shape("blue", "square")]


def load(family: str, folder: str = "", **parameters: Any) -> VisionModel:
    row = {"name": "m", "family": family, "source": "x/y", "parameters": parameters}
    spec = ModelSpec.model_validate(row)
    return load_model(
        LoadContext(spec, TESTS / "checkpoints" / folder if folder else None, "cpu", 1)
    )


@pytest.fixture
def blip() -> Any:
    return load("blip", "blip", max_new_tokens=24, dtype="float32")


def always(blip: Any, token: str) -> None:
    """Have the model write nothing but this token."""
    number = blip._processor.tokenizer.convert_tokens_to_ids(token)
    blip._model.text_decoder.cls.predictions.decoder.bias.data[number] = 1e4


def run(
    model: VisionModel, *tasks: Task, images: list[bytes] = PICTURES, **instructions: Any
) -> tuple[Result | JobError, ...]:
    """One job for each image, all in one batch."""
    jobs = [prepare(model, [model.preparation.run(image, 50)]) for image in images]
    asked = Instructions(tasks=tasks, **instructions)
    report = run_batch(model, jobs, [asked] * len(jobs), len(images))
    assert not report.fault
    return report.outcomes


@pytest.mark.parametrize("token", ["circle", "a", "[SEP]", "[PAD]", "-"])
@pytest.mark.parametrize("options", [Options(), Options(temperature=1.0)], ids=["greedy", "hot"])
def test_a_model_without_words_fails_each_job_with_a_sentence(
    blip: Any, token: str, options: Options
) -> None:
    always(blip, token)
    outcomes = run(blip, CAPTION, options=options)
    assert [type(outcome) for outcome in outcomes] == [JobError, JobError]
    assert {o.error for o in outcomes if isinstance(o, JobError)} == {"NothingFound"}
    assert "found no caption" in str(outcomes[0])


@pytest.mark.parametrize(
    "options",
    [Options(repeat_penalty=0.01), Options(num_predict=1, stop=(" ",)), Options(temperature=1e9)],
    ids=["loop", "short", "hot"],
)
def test_what_a_request_spoils_is_answered_without_its_options(
    monkeypatch: pytest.MonkeyPatch, blip: Any, options: Options
) -> None:
    asked: list[tuple[int, Options]] = []
    generate = blip.generate

    def noting(images: list[Any], instructions: Instructions) -> Any:
        asked.append((len(images), instructions.options))
        answers = generate(images, instructions)
        # Sampling may hit a word; what is tested is what happens where it does not.
        return answers if len(asked) > 1 else [answers[0], {CAPTION: None}]

    monkeypatch.setattr(blip, "generate", noting)
    first, second = run(blip, CAPTION, options=options)
    assert isinstance(first, Result)
    assert isinstance(second, Result)
    assert second[CAPTION].text == "a blue square"
    assert asked[0] == (2, options)
    assert asked[1][1] == Options()
    assert len(asked) == 2


def test_a_model_is_not_asked_twice_for_what_it_would_only_repeat(
    monkeypatch: pytest.MonkeyPatch, blip: Any
) -> None:
    always(blip, "circle")
    generate = Mock(wraps=blip.generate)
    monkeypatch.setattr(blip, "generate", generate)
    run(blip, CAPTION)
    assert generate.call_count == 1


def test_a_caption_that_is_composed_of_no_labels_is_none() -> None:
    model = load("efficientnet_lite", labels={"min_confidence": 1.0})
    grey = plain(127, 127, 127)
    (alone,) = run(model, CAPTION, images=[grey])
    assert isinstance(alone, JobError)
    assert alone.error == "NothingFound"
    (both,) = run(model, CAPTION, LABELS, images=[grey])
    assert isinstance(both, Result)
    assert both.root == {LABELS: ()}


def test_no_labels_are_an_answer() -> None:
    model = load("efficientnet_lite", labels={"min_confidence": 1.0})
    (answer,) = run(model, LABELS, images=[plain(127, 127, 127)])
    assert isinstance(answer, Result)
    assert answer[LABELS] == ()


def test_a_caption_without_words_is_left_out_of_several_answers() -> None:
    class Wordless:
        preparation = whole()

        def prepare(self, image: Any) -> Any:
            return image

        def predict(self, jobs: Any, max_images: int) -> list[Result]:
            return [Result() for _ in jobs]

    (outcome,) = run(Wordless(), CAPTION, NSFW, images=[plain(1)])
    assert outcome == JobError(
        error="NothingFound", message="The model found no caption or nsfw for this image."
    )
