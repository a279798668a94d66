"""Decoding in tensors of fixed shape gives what transformers' own loop gives."""

import gc
import math
import sys
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from transformers import GenerationConfig

from shared.messages import Instructions, Result
from shared.model_spec import ModelSpec
from shared.options import Options
from shared.tasks import CAPTION, LABELS
from shared.tasks.caption import Caption
from shared.tasks.registry import Task
from tests.inputs import prepared
from tests.stack import TESTS
from tests.workers.runtime.decoding.tape import TapeRunner
from tools.tiny_checkpoints import shapes
from workers.families.kosmos2 import CAPTION_PROMPT
from workers.model.family import LoadContext, PreparedJob, VisionModel, load_model
from workers.model.warm_up import warm_up
from workers.runtime.decoding.decoder import rules_of
from workers.runtime.graphs import EagerRunner

CHECKPOINTS = TESTS / "checkpoints"
FAMILIES = {"vision_encoder_decoder": "vit-gpt2", "blip": "blip", "kosmos2": "kosmos-2"}
SPEC = ModelSpec.model_validate({"name": "m", "family": "blip", "source": "x/y"})
CASES = [
    ("vision_encoder_decoder", 1), ("vision_encoder_decoder", 4), ("blip", 1), ("kosmos2", 1)
]  # fmt: skip


def load(family: str, decoding: str, **parameters: Any) -> Any:
    spec = ModelSpec.model_validate(
        {
            "name": "m",
            "family": family,
            "source": "x/y",
            "parameters": {"dtype": "float32", "decoding": decoding, **parameters},
        }
    )
    return load_model(LoadContext(spec, CHECKPOINTS / FAMILIES[family], "cpu", 1))


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def pair(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """The same model with both ways of decoding; the static one is recorded on a tape."""
    family, beams = request.param
    some = {"max_new_tokens": 16, "num_beams": beams}
    static: Any = load(family, "static", **some)
    static._static._runner = TapeRunner()
    return load(family, "generate", **some), static


def predict(
    model: VisionModel,
    count: int,
    first: int = 0,
    tasks: tuple[Task, ...] = (CAPTION,),
    prompt: str = "",
    **options: Any,
) -> list[Result]:
    pictures = [shapes.draw(shapes.HELD_OUT_SEED + n).image for n in range(first, first + count)]
    instructions = Instructions(tasks=tasks, prompt=prompt, options=Options(**options))
    jobs = [PreparedJob([prepared(model, picture)], instructions) for picture in pictures]
    return model.predict(jobs, max_images=count)


def captions(results: list[Result]) -> list[str]:
    return [result[CAPTION].text for result in results]


def test_batches_of_changing_size_give_the_same_captions(pair: tuple[Any, Any]) -> None:
    usual, static = pair
    for count, first in ((8, 0), (1, 8), (8, 9), (3, 17), (4, 20), (1, 24)):
        assert captions(predict(static, count, first)) == captions(predict(usual, count, first))
    assert static._static._runner.replays > 10


def test_what_is_recorded_while_loading_serves_the_first_requests(
    pair: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.model.warm_up.FIRST_BATCHES_S", math.inf)
    usual, static = pair
    static._static.release()
    warm_up(static, SPEC, None)
    runner = static._static._runner
    recorded = len(runner._tapes)
    for images in (8, 1):
        before = runner.replays
        assert captions(predict(static, images)) == captions(predict(usual, images))
        assert runner.replays > before
    assert len(runner._tapes) == recorded
    assert None not in runner._tapes.values()


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
def test_a_limit_on_tokens_holds(pair: tuple[Any, Any], limit: int) -> None:
    usual, static = pair
    wanted = captions(predict(usual, 3, num_predict=limit))
    assert captions(predict(static, 3, num_predict=limit)) == wanted


def test_other_requests_go_through_generate(pair: tuple[Any, Any]) -> None:
    usual, static = pair
    before = static._static._runner.replays
    for options in ({"stop": (" red",)}, {"repeat_penalty": 1.2}, {"temperature": 0.7, "seed": 3}):
        assert captions(predict(static, 2, **options)) == captions(predict(usual, 2, **options))
    assert static._static._runner.replays == before


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 6))]
)
def test_an_unsure_model_writes_the_same_texts(
    pair: tuple[Any, Any], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With noise in the weights, texts are long, and several are nearly as good."""
    texts: list[list[str]] = []
    for model in pair:
        torch.manual_seed(seed)
        for weight in model._model.parameters():
            noise = torch.randn_like(weight) * 0.4 * weight.std(correction=0)
            monkeypatch.setattr(weight, "data", weight.data + noise)
        # Other tensors of the static model stay where they are; its weights are others now.
        if model._static:
            model._static.release()
        written: list[str] = []
        monkeypatch.setattr(caption_module(model), "caption_or_none", record(written))
        predict(model, 6, 10 * seed)
        texts.append(written)
    assert texts[0] == texts[1]
    assert len(set(texts[0])) > 1


def caption_module(model: VisionModel) -> ModuleType:
    return sys.modules[type(model).__module__]


def record(texts: list[str]) -> Callable[..., Caption]:
    def caption(text: str, **_: Any) -> Caption:
        texts.append(text)
        return Caption(text="a text")

    return caption


def test_blip_continues_a_prefix() -> None:
    usual, static = (load("blip", how, max_new_tokens=16) for how in ("generate", "static"))
    static._static._runner = TapeRunner()
    for _ in range(3):
        found = [captions(predict(model, 3, prompt=" a red ")) for model in (static, usual)]
        assert found[0] == found[1]


def test_labels_of_kosmos_have_the_same_confidences() -> None:
    usual, static = (load("kosmos2", how, max_new_tokens=24) for how in ("generate", "static"))
    found = [
        [[(label.name, label.confidence) for label in result[LABELS]] for result in results]
        for results in (
            predict(model, 4, tasks=(CAPTION, LABELS), prompt=CAPTION_PROMPT)
            for model in (usual, static)
        )
    ]
    for wanted, labels in zip(*found, strict=True):
        assert [name for name, _ in labels] == [name for name, _ in wanted]
        assert [c for _, c in labels] == pytest.approx([c for _, c in wanted], abs=1e-4)
    assert any(found[0])


def test_memory_grows_with_the_largest_batch_only(pair: tuple[Any, Any]) -> None:
    static = pair[1]._static
    static.release()
    predict(pair[1], 5)
    tensors = static._tensors
    predict(pair[1], 8)
    predict(pair[1], 2)
    assert static._tensors is tensors
    predict(pair[1], 9)
    assert static._tensors is not tensors


class LookingBack(EagerRunner):
    """Notes whether what it is to forget is still there."""

    def __init__(self, held: object) -> None:
        self._held = weakref.ref(held)
        self.was_gone: list[bool] = []

    def forget(self) -> None:
        self.was_gone.append(self._held() is None)


def test_tensors_are_gone_when_graphs_are_forgotten_so_that_their_memory_can_be_given_back(
    pair: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    static = pair[1]._static
    static.release()
    predict(pair[1], 2)
    runner = LookingBack(static._tensors.cache.images)
    monkeypatch.setattr(static, "_runner", runner)
    gc.disable()
    try:
        predict(pair[1], 9)
    finally:
        gc.enable()
    assert runner.was_gone == [True]


def test_a_failure_gives_all_memory_up(pair: tuple[Any, Any], monkeypatch: Any) -> None:
    usual, static = pair
    predict(static, 1)
    monkeypatch.setattr(static._static._runner, "run", fail)
    with pytest.raises(torch.OutOfMemoryError):
        predict(static, 1)
    assert static._static._tensors is None
    monkeypatch.undo()
    assert captions(predict(static, 2)) == captions(predict(usual, 2))


def fail(*_: object) -> None:
    raise torch.OutOfMemoryError


@pytest.mark.parametrize(
    ("settings", "known"),
    [
        ({}, True), ({"length_penalty": 2.0, "early_stopping": True}, True),
        ({"eos_token_id": [1, 2]}, True), ({"eos_token_id": None}, False),
        ({"no_repeat_ngram_size": 3}, True), ({"min_length": 5}, False),
        ({"forced_bos_token_id": 0}, True), ({"forced_eos_token_id": 1}, True),
        ({"forced_eos_token_id": [1, 2]}, False),
        ({"suppress_tokens": [7, 8]}, True), ({"repetition_penalty": 1.5}, False),
        ({"early_stopping": "never"}, False),
    ],
)  # fmt: skip
def test_settings_that_only_generate_knows_are_left_to_it(
    settings: dict[str, Any],
    known: bool,  # noqa: FBT001
) -> None:
    config: Any = GenerationConfig  # its constructor is not typed
    config = config(**{"eos_token_id": 1, **settings})
    assert (rules_of(config, beams=4) is not None) is known


@pytest.mark.parametrize("settings", [{"length_penalty": 2.0}, {"early_stopping": True}])
def test_settings_of_beams_are_honoured(settings: dict[str, Any]) -> None:
    usual, static = (
        load("vision_encoder_decoder", how, max_new_tokens=16, num_beams=4)
        for how in ("generate", "static")
    )
    for model in (usual, static):
        config = model._model.generation_config
        config.update(**settings)
        model._static = model._static and model._static_decoder()
        torch.manual_seed(2)
        for weight in model._model.parameters():
            weight.data += torch.randn_like(weight) * 0.4 * weight.std(correction=0)
    assert captions(predict(static, 8)) == captions(predict(usual, 8))
