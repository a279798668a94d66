"""Options of requests: every value that Ollama accepts leads to an answer, in every family."""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import pytest

from shared.catalog import Catalog
from shared.messages import Instructions, Result
from shared.model_spec import ModelSpec
from shared.options import Options
from shared.tasks import CAPTION, LABELS, NSFW
from shared.tasks.registry import Task
from tests.conftest import plain, shape
from tests.inputs import prepared
from tests.stack import CATALOG, TESTS
from workers.model.family import LoadContext, PreparedJob, VisionModel, load_model

CAPTIONERS = {"blip": "blip", "kosmos2": "kosmos-2", "vision_encoder_decoder": "vit-gpt2"}
NO_TEXT = {
    "efficientnet_lite": (CAPTION, LABELS),
    "image_classification": (LABELS,),
    "onnx": (NSFW,),
    "fake": (CAPTION, LABELS, NSFW),
}
HOT = {"temperature": 5.0, "seed": 3}
OPTIONS: list[dict[str, Any]] = [
    # What PhotoPrism's Ollama engine sends.
    {"temperature": 0.01, "top_p": 0.9, "stop": ["\n\n"]},
    # Stop words that a vocabulary cannot spell, that are empty, many, long, or everywhere.
    *({"stop": stop} for stop in (
        "", "Circle", "ÄÖÜ", "🐈", "</s>", "<phrase>", "a", " ", "\x00", [], ["", "\n"], ["x"] * 9,
        [str(n) for n in range(99)], ["y" * 5000], ["\ud800"], list("abcdefghijklmnopqrstuvwxyz "),
    )),
    *({"top_k": value, **HOT} for value in (-1, 0, 1.9, 10**9, 2**70)),
    *({name: value, **HOT} for name in ("top_p", "min_p", "typical_p")
      for value in (-1, 0, 1e-9, 1, 1.5)),
    *({"repeat_penalty": value} for value in (-1, 0, 1e-300, 1.1, 1e300)),
    *({"repeat_penalty": value, "num_predict": 512} for value in (0.01, 2.0)),
    *({"temperature": value} for value in (-1, 0, 1e-300, 1, 1e9, 1e308)),
    *({"seed": value, "temperature": 1} for value in (-1, 1.5, 2**63, 2**70, -(2**70), 1e300)),
    *({"num_predict": value} for value in (-2, 0, 0.5, 1, 10**9)),
    {"num_predict": 1, "stop": ["a"], "temperature": 1e9, "repeat_penalty": 1e9, "seed": 1},
    {"num_ctx": 16, "num_keep": -5, "mirostat": 2, "mirostat_eta": 0.1, "tfs_z": 1,
     "penalize_newline": True, "presence_penalty": 9, "frequency_penalty": -9, "repeat_last_n": -1},
    dict.fromkeys(Options.model_fields),
]  # fmt: skip


def load(family: str, folder: str = "", **row: Any) -> VisionModel:
    spec = ModelSpec.model_validate({"name": "m", "family": family, "source": "x/y", **row})
    return load_model(
        LoadContext(spec, TESTS / "checkpoints" / folder if folder else None, "cpu", 1)
    )


@cache
def load_captioner(family: str) -> VisionModel:
    return load(family, CAPTIONERS[family], parameters={"max_new_tokens": 24})


@pytest.fixture(params=CAPTIONERS)
def captioner(request: pytest.FixtureRequest) -> VisionModel:
    return load_captioner(request.param)


def ask(
    model: VisionModel, tasks: tuple[Task, ...], image: bytes, *, prompt: str = "", **options: Any
) -> Result:
    instructions = Instructions(
        tasks=tasks, prompt=prompt, options=Options.model_validate(options).known
    )
    job = PreparedJob([prepared(model, image)], instructions)
    return model.predict([job], max_images=1)[0]


def caption(model: VisionModel, **more: Any) -> str:
    return str(ask(model, (CAPTION,), shape("red", "circle"), **more)[CAPTION].text).lower()


def by_family(name: str, values: Iterable[Any], ids: Callable[[Any], str]) -> pytest.MarkDecorator:
    """Have a test get a family with each value: quick with one family, and slow with the others."""
    return pytest.mark.parametrize(
        ("family", name),
        [
            pytest.param(
                family,
                value,
                marks=() if number % len(CAPTIONERS) == first else pytest.mark.slow,
                id=f"{family}-{ids(value)}",
            )
            for first, family in enumerate(CAPTIONERS)
            for number, value in enumerate(values)
        ],
    )


@by_family("options", OPTIONS, lambda options: str(options)[:40])
def test_every_option_leads_to_a_caption(family: str, options: dict[str, Any]) -> None:
    text = caption(load_captioner(family), **options)
    assert any(map(str.isalpha, text))


@pytest.mark.parametrize("family", NO_TEXT)
def test_models_that_write_no_text_ignore_options(family: str) -> None:
    folder = "vit-classifier" if family == "image_classification" else ""
    detector = Catalog.load(CATALOG).get("opennsfw")
    row = {"tasks": [NSFW], "parameters": detector.parameters} if family == "onnx" else {}
    model, image = load(family, folder, **row), plain(200, 30, 30)
    answers = [ask(model, NO_TEXT[family], image, **options) for options in OPTIONS[::5]]
    assert all(answer == answers[0] for answer in answers)


MEANT: list[tuple[dict[str, Any], str]] = [
    ({"stop": ["\n\n"]}, "a red circle"),
    ({"stop": [""]}, "a red circle"),
    ({"stop": ["Circle", "CIRCLE"]}, "a red circle"),
    ({"stop": ["circle"]}, "a red"),
    ({"stop": ["unheard", "d c"]}, "a re"),
    ({"stop": [*map(str, range(9)), " circle"]}, "a red"),
    ({"stop": ["circle" * 99]}, "a red circle"),
    ({"stop": ["a red circle"]}, "a red circle"),  # nothing would be left
    ({"stop": ["a"]}, "a red circle"),
    ({"top_p": 0, **HOT}, "a red circle"),
    ({"top_k": 1, **HOT}, "a red circle"),
    ({"temperature": -1}, "a red circle"),
    ({"repeat_penalty": 0}, "a red circle"),
    ({"num_predict": -1}, "a red circle"),
    ({"num_predict": 10**9}, "a red circle"),
]
"""Options, and the caption of a red circle with them."""


@by_family("meant", MEANT, lambda meant: str(meant[0])[:40])
def test_options_mean_what_they_mean_to_ollama(
    family: str, meant: tuple[dict[str, Any], str]
) -> None:
    options, text = meant
    assert caption(load_captioner(family), **options) == text


def test_the_seed_minus_one_is_a_new_one_each_time(captioner: VisionModel) -> None:
    options = {"temperature": 20.0, "top_k": 0, "num_predict": 12}
    random = {caption(captioner, seed=-1, **options) for _ in range(4)}
    fixed = {caption(captioner, seed=1.5, **options) for _ in range(2)}
    fixed |= {caption(captioner, seed=1, **options)}
    assert len(random) > 1
    assert len(fixed) == 1


PROMPTS = (
    "a photo of " + "wonderful" * 100,
    "a " + "x" * 5000,
    "a " + " ".join(["é" * 500] * 5),
    "the " + "1" * 1_000_000,
    "<grounding>" + "An image of " * 700,
    "<grounding>" + "Two dogs and " * 100_000,
    "<grounding>" + "🐈" * 4000,
    "<grounding><image></image><phrase><object><patch_index_0044>",
    "<grounding>\n\n",
    "a",
)


@by_family("prompt", PROMPTS, lambda prompt: prompt[:24])
def test_prompts_that_do_not_fit_are_ignored(family: str, prompt: str) -> None:
    text = caption(load_captioner(family), prompt=prompt, num_predict=512)
    assert any(map(str.isalpha, text))
    assert len(text) <= 1000


def test_a_long_text_stops_where_the_model_has_no_more_positions() -> None:
    model = load("blip", "blip", parameters={"max_new_tokens": 5000})
    assert caption(model, repeat_penalty=0.01)
