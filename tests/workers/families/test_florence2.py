"""Captions of three lengths and located labels, by a trained tiny checkpoint of Florence-2."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, AutoTokenizer

from shared.messages import Instructions
from shared.model_spec import ModelSpec
from shared.options import Options
from shared.tasks import CAPTION, LABELS
from shared.tasks.labels import Label
from tests.inputs import prepared
from tests.stack import TESTS
from tests.workers.runtime.decoding.tape import TapeRunner
from tools.tiny_checkpoints import shapes
from tools.tiny_checkpoints.florence2 import BINS, POST_PROCESSING
from tools.tiny_checkpoints.lessons import JOURNALISTIC
from workers.families.florence2 import PROMPTS, CaptionLength, Florence2, caption_length
from workers.families.florence2_regions import Regions
from workers.model.family import LoadContext, PreparedJob
from workers.runtime import generation
from workers.runtime.decoding.decoder import FIRST_BATCHES

FOLDER = TESTS / "checkpoints" / "florence2"
HELD_OUT = [shapes.draw(shapes.HELD_OUT_SEED + number) for number in range(40)]
FOR_LABELS = ("<OD>", "<DENSE_REGION_CAPTION>")
PAIRS = [(c, s) for c in ("red", "blue", "white") for s in ("circle", "square", "triangle")]


def load(**parameters: Any) -> Florence2:
    chosen = {"max_new_tokens": 24, "max_label_tokens": 24, **parameters}
    row = {"name": "m", "family": "florence2", "source": "x/y", "parameters": chosen}
    return Florence2(LoadContext(ModelSpec.model_validate(row), FOLDER, "cpu", 1))


@pytest.fixture(scope="module")
def model() -> Florence2:
    return load()


def published() -> Any:
    """Return transformers' own processor."""
    loader: Any = AutoProcessor
    return loader.from_pretrained(FOLDER)


def captions(
    model: Florence2, images: Sequence[Image.Image], prompt: str = "", **options: Any
) -> list[str]:
    instructions = Instructions(tasks=(CAPTION,), prompt=prompt, options=Options(**options))
    jobs = [PreparedJob([prepared(model, image)], instructions) for image in images]
    return [result[CAPTION].text.lower() for result in model.predict(jobs, len(images))]


def labels(model: Florence2, images: Sequence[Image.Image]) -> list[tuple[Label, ...]]:
    jobs = [PreparedJob([prepared(model, i)], Instructions(tasks=(LABELS,))) for i in images]
    return [result[LABELS] for result in model.predict(jobs, len(images))]


def picture(colour: str, kind: str) -> Image.Image:
    return shapes.draw(1, colour=colour, shape=kind).image


def test_a_batch_is_captioned_in_order(model: Florence2) -> None:
    found = captions(model, [picture(*pair) for pair in PAIRS], "<CAPTION>")
    assert found == [f"a {colour} {kind}" for colour, kind in PAIRS]


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("<CAPTION>", "a red circle"),
        ("A short caption, please.", "a red circle"),
        ("<DETAILED_CAPTION>", "the image shows a red circle"),
        ("Describe this photo in detail.", "the image shows a red circle"),
        ("<MORE_DETAILED_CAPTION>", "on grey paper"),
        ("Write a very detailed description.", "on grey paper"),
    ],
)
def test_the_prompt_chooses_the_length(model: Florence2, prompt: str, text: str) -> None:
    # "The image shows" is cut off, as of any caption.
    (found,) = captions(model, [picture("red", "circle")], prompt)
    assert "a red circle" in found
    assert ("grey paper" in found) == ("grey paper" in text)


@pytest.mark.parametrize(
    ("prompt", "length"),
    [
        ("", "short"),
        ("What is this?", "short"),
        ("more detailed", "more_detailed"),
        ("Describe the image with a paragraph.", "more_detailed"),
        ("a detailed caption", "detailed"),
        ("briefly, in one sentence", "short"),
        (JOURNALISTIC, "detailed"),
        ("Write two sentences.", "detailed"),
        ("<MORE_DETAILED_CAPTION>", "more_detailed"),
        ("<DETAILED_CAPTION>", "detailed"),
    ],
)
def test_lengths_have_the_models_words_and_plain_ones(prompt: str, length: CaptionLength) -> None:
    assert caption_length(prompt, "short") == length


def test_the_row_sets_the_length_of_captions_without_a_prompt() -> None:
    image = [picture("blue", "square")]
    assert captions(load(caption="short"), image) == ["a blue square"]
    assert "grey paper" in captions(load(caption="more_detailed"), image)[0]


def test_captions_and_labels_of_held_out_pictures_are_nearly_always_right(model: Florence2) -> None:
    images = [one.image for one in HELD_OUT]
    texts = captions(model, images, "<CAPTION>")
    assert sum(text == p.caption for text, p in zip(texts, HELD_OUT, strict=True)) >= 37
    found = [{label.name for label in labels} for labels in labels(model, images)]
    assert sum(got == {p.shape, p.label} for got, p in zip(found, HELD_OUT, strict=True)) >= 36


def test_topicality_is_the_share_of_the_picture_that_the_box_covers(model: Florence2) -> None:
    errors = []
    for one, found in zip(HELD_OUT, labels(model, [p.image for p in HELD_OUT]), strict=True):
        left, top, right, bottom = one.box
        errors += [abs(label.topicality - (right - left) * (bottom - top)) for label in found]
    assert sum(errors) / len(errors) < 0.06
    assert max(errors) < 0.35


def test_a_row_chooses_what_labels_are_made_of() -> None:
    image = [picture("red", "circle")]
    (objects,), (regions,) = (labels(load(labels=[kind]), image) for kind in ("objects", "regions"))
    assert [label.name for label in objects] == ["circle"]
    assert [label.name for label in regions] == ["red circle"]


def test_the_confidence_is_the_geometric_mean_of_the_tokens_of_a_name(model: Florence2) -> None:
    ((circle, *_),) = labels(load(labels=["objects"], min_confidence=0), [picture("red", "circle")])
    assert 0.5 < circle.confidence <= 1
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    tokens = tokenizer("red circle<loc_0><loc_0><loc_499><loc_999>")["input_ids"]
    probabilities = [1.0, *[0.25, 0.5, 0.5, 1.0], *[0.1] * 5][: len(tokens)]
    (found,) = Regions(tokenizer).read(tokens, probabilities)
    words = len(tokens) - 6  # without the four places, the beginning and the end
    product = 1.0
    for value in probabilities[1 : 1 + words]:
        product *= value
    assert found.confidence == pytest.approx(product ** (1 / words))
    assert found.area == pytest.approx(0.4985, abs=0.001)


@pytest.mark.parametrize(
    "text",
    [
        "car<loc_52><loc_332><loc_932><loc_774>wheel<loc_708><loc_557><loc_866><loc_775>",
        "car<loc_1><loc_2><loc_3><loc_4><loc_5><loc_6><loc_7><loc_8>",
        "two words<loc_1><loc_2><loc_3><loc_4>",
        "cut off<loc_1><loc_2>",
        "car<loc_1><loc_2><loc_3><loc_4>no box",
        "<loc_1><loc_2><loc_3><loc_4>",
        "",
    ],
)
def test_places_are_read_as_transformers_reads_them(text: str) -> None:
    processor = published()
    processor.post_processor.parse_task_config = POST_PROCESSING
    expected = processor.post_process_generation(text, task="<OD>", image_size=(BINS, BINS))["<OD>"]
    largest: dict[str, float] = {}
    for name, (left, top, right, bottom) in zip(
        expected["labels"], expected["bboxes"], strict=True
    ):
        largest[name] = max(largest.get(name, 0), (right - left) * (bottom - top) / BINS**2)

    tokens = processor.tokenizer(text)["input_ids"]
    found = Regions(processor.tokenizer).read(tokens, [])

    assert {one.phrase: one.area for one in found} == pytest.approx(largest)
    assert all(one.confidence == 1 for one in found)


def test_the_prompts_are_those_of_transformers() -> None:
    processor = published()
    assert {task: processor.task_prompts_without_inputs[task] for task in PROMPTS} == PROMPTS


def test_texts_are_those_of_transformers_with_its_own_processor(model: Florence2) -> None:
    processor = published()
    images = [one.image for one in HELD_OUT[:4]]
    for task in PROMPTS:
        inputs = processor(text=[task] * 4, images=images, return_tensors="pt")
        with torch.no_grad():
            tokens = model._model.generate(**inputs, max_new_tokens=24, num_beams=1)
        seen = model._model.get_image_features(inputs["pixel_values"]).pooler_output
        arguments = {"max_new_tokens": 24, "num_beams": 1, "do_sample": False}
        assert model._generate(seen, task, arguments)[0].tolist() == tokens[:, 1:].tolist()


@pytest.mark.parametrize(
    ("task", "beams"),
    # Labels are never searched for with beams.
    [*((task, 1) for task in PROMPTS), *((task, 3) for task in PROMPTS if task not in FOR_LABELS)],
)
@pytest.mark.parametrize("limit", [24, pytest.param(6, marks=pytest.mark.slow)])
def test_static_decoding_gives_the_tokens_of_generate(task: str, beams: int, limit: int) -> None:
    arguments = {"max_new_tokens": limit, "num_beams": beams, "do_sample": False}
    images = [one.image for one in HELD_OUT[:5]]
    tokens, rows = [], []
    for decoding in ("generate", "static"):
        model = load(decoding=decoding, num_beams=beams)
        with torch.inference_mode():
            pixels = model._pretrained.batch([prepared(model, image) for image in images])
            seen = model._model.get_image_features(pixels).pooler_output
            new, known = model._generate(seen, task, arguments)
        tokens.append([[token for token in row if token != 1] for row in new.tolist()])
        rows.append(known)
    assert tokens[0] == tokens[1]
    assert len(rows[0]) == len(rows[1]) == (5 if beams == 1 else 0)
    for one, other, row in zip(*rows, tokens[0], strict=False):
        assert one[: len(row) - 1] == pytest.approx(other[: len(row) - 1], abs=1e-5)


def test_first_batches_are_recorded_while_the_model_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(decoding="static").first_batches == ()  # nothing is recorded on a CPU
    monkeypatch.setattr(generation, "runner_for", lambda _: TapeRunner())
    model = load(decoding="static")
    assert model.first_batches == FIRST_BATCHES
    assert model.acceleration != "none"


def test_options_are_for_captions(model: Florence2) -> None:
    image = [picture("red", "circle")]
    assert captions(model, image, "<CAPTION>", stop=[" circle"]) == ["a red"]
    hot: dict[str, Any] = {"temperature": 5.0, "seed": 11, "num_predict": 8}
    assert captions(model, image, **hot) == captions(model, image, **hot)


def test_both_tasks_are_answered_from_one_look_at_the_pictures(model: Florence2) -> None:
    job = PreparedJob(
        [prepared(model, picture("red", "circle"))],
        Instructions(tasks=(CAPTION, LABELS), prompt="<CAPTION>"),
    )
    before = model.steps
    (found,) = model.predict([job], max_images=1)
    assert found[CAPTION].text.lower() == "a red circle"
    assert {label.name for label in found[LABELS]} == {"circle", "red circle"}
    assert model.steps > before


def test_a_batch_of_labels_gives_what_each_picture_gives_alone(model: Florence2) -> None:
    images = [one.image for one in HELD_OUT[:6]]
    together = labels(model, images)
    for image, found in zip(images, together, strict=True):
        (alone,) = labels(model, [image])
        assert [label.name for label in alone] == [label.name for label in found]
        for one, other in zip(alone, found, strict=True):
            assert one.confidence == pytest.approx(other.confidence, abs=1e-3)
