"""The family of chat models, with the tiny trained SmolVLM."""

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from shared.messages import ChatMessage, Instructions
from shared.model_spec import ModelSpec
from shared.ollama_settings import OllamaSettings
from shared.options import Options
from shared.tasks import ANSWER, CAPTION, LABELS
from tests.inputs import prepared
from tests.stack import TESTS
from tools.tiny_checkpoints import lessons
from tools.tiny_checkpoints.shapes import HELD_OUT_SEED, Picture, draw
from workers.families.image_text_to_text import ImageTextToText
from workers.model.family import LoadContext, PreparedJob

FOLDER = TESTS / "checkpoints" / "smolvlm"
PICTURE = draw(HELD_OUT_SEED + 2, colour="green", shape="triangle")


def load(environment: OllamaSettings | None = None, **parameters: Any) -> ImageTextToText:
    row = {"name": "m", "family": "image_text_to_text", "source": "x/y", "parameters": parameters}
    spec = ModelSpec.model_validate(row)
    return ImageTextToText(LoadContext(spec, FOLDER, "cpu", 1, environment))


@pytest.fixture(scope="module")
def model() -> ImageTextToText:
    return load()


def job(
    model: ImageTextToText, *pictures: Picture, tasks: Sequence[str] = (CAPTION,), **asked: Any
) -> PreparedJob:
    images = [prepared(model, picture.image) for picture in pictures]
    return PreparedJob(images, Instructions(tasks=tuple(tasks), **asked))


def caption(model: ImageTextToText, **asked: Any) -> str:
    (result,) = model.predict([job(model, PICTURE, **asked)], max_images=8)
    return str(result[CAPTION].text)


def test_most_held_out_pictures_are_named_rightly_in_mixed_batches(model: ImageTextToText) -> None:
    pictures = [draw(HELD_OUT_SEED + 10 + number) for number in range(24)]
    prompts = [lessons.COLOUR, lessons.SHAPE]
    jobs = [
        job(model, picture, prompt=prompts[number % 2]) for number, picture in enumerate(pictures)
    ]
    found = [result[CAPTION].text for result in model.predict(jobs, max_images=8)]
    right = [
        (lessons.shape if number % 2 else lessons.colour)([picture])
        for number, picture in enumerate(pictures)
    ]
    assert sum(one == other for one, other in zip(found, right, strict=True)) >= 22
    apart = [model.predict([one], max_images=1)[0][CAPTION].text for one in jobs]
    assert found == apart


def test_the_prompt_of_the_request_counts_then_the_rows_then_the_environments() -> None:
    asked, rows = lessons.COLOUR, lessons.SHAPE
    environment = OllamaSettings.model_construct(caption_prompt=lessons.GERMAN)
    assert caption(load(environment)) == "Ein Dreieck in Grün."
    both = load(environment, prompts={"caption": rows})
    assert caption(both) == "triangle"
    assert caption(both, prompt=asked) == "green"


def test_without_any_prompt_the_built_in_one_asks(model: ImageTextToText) -> None:
    assert caption(model) == "A green triangle on a grey background."


def test_a_rows_options_and_system_prompt_count_where_the_request_has_none() -> None:
    of_row = load(
        system=lessons.CAPITALS,
        prompts={"caption": lessons.SHAPE},
        options={"stop": ["ANGLE"]},
    )
    assert caption(of_row) == "TRI"
    assert caption(of_row, options=Options(stop=("zebra",))) == "TRIANGLE"


def test_other_jobs_do_not_change_what_is_drawn_with_a_seed_as_the_row_says() -> None:
    drawing = load(options={"temperature": 3.0, "top_k": 0, "num_predict": 12})
    asked: dict[str, Any] = {"tasks": (ANSWER,), "options": Options(seed=1)}
    one = job(drawing, PICTURE, prompt=lessons.SHAPE, **asked)
    other = job(drawing, PICTURE, prompt=lessons.JOURNALISTIC, **asked)
    (alone,) = drawing.predict([one], max_images=8)
    assert drawing.predict([other, one], max_images=8)[1] == alone


def test_a_rows_options_are_checked_when_it_is_loaded() -> None:
    with pytest.raises(ValidationError, match="Input should be a finite number"):
        load(options={"temperature": "hot"})


def test_a_row_can_have_the_model_think_which_nobody_sees() -> None:
    thinking = load(think=True)
    assert caption(thinking, prompt=lessons.SHAPE) == "triangle"
    before = thinking.steps
    caption(thinking, prompt=lessons.SHAPE, think=False)
    assert thinking.steps - before < before  # it wrote no thoughts


def test_a_loop_ends_long_before_the_limit(model: ImageTextToText) -> None:
    before = model.steps
    assert caption(model, prompt=lessons.CHANT) == "the green triangle"
    assert model.steps - before < 128  # of 512


def test_each_text_of_a_batch_ends_by_itself(model: ImageTextToText) -> None:
    jobs = [job(model, PICTURE, prompt=prompt) for prompt in (lessons.CHANT, lessons.COLOUR)]
    texts = [result[CAPTION].text for result in model.predict(jobs, max_images=8)]
    assert texts == ["the green triangle", "green"]


def test_several_tasks_of_one_job_are_asked_one_after_the_other(model: ImageTextToText) -> None:
    (result,) = model.predict([job(model, PICTURE, tasks=(CAPTION, LABELS))], max_images=8)
    assert result[CAPTION].text == "A green triangle on a grey background."
    assert [label.name for label in result[LABELS]] == ["green triangle"]


def test_a_conversation_is_continued_with_all_its_messages(model: ImageTextToText) -> None:
    messages = (
        ChatMessage(role="user", text=lessons.COLOUR, images=(0,)),
        ChatMessage(role="assistant", text="green"),
        ChatMessage(role="user", text=lessons.SHAPE),
    )
    asked = job(model, PICTURE, tasks=(ANSWER,), messages=messages)
    (result,) = model.predict([asked], max_images=8)
    assert result[ANSWER].text == "triangle"


@pytest.mark.parametrize("dtype", ["int8", "bfloat16"])
def test_answers_are_the_same_in_a_smaller_dtype(model: ImageTextToText, dtype: str) -> None:
    smaller = load(dtype=dtype)
    pictures = [draw(HELD_OUT_SEED + 50 + number) for number in range(16)]
    for prompt in (lessons.SHAPE, lessons.JOURNALISTIC):
        jobs = [job(model, picture, prompt=prompt) for picture in pictures]
        assert smaller.predict(jobs, max_images=16) == model.predict(jobs, max_images=16)
