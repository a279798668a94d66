"""Conversations continued in tensors of fixed shape are what transformers' own loop makes of them.

Both ways read the same weights in float32; steps of the new one are recorded on a tape.
"""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

from shared.messages import JsonObject
from shared.options import Options
from tests.chat_checkpoints import make_checkpoint
from tests.inputs import shown
from tests.workers.runtime.decoding.tape import TapeRunner
from tests.workers.runtime.test_chat import PROMPTS, QUICK, SIZES, each_type, load, noise
from workers.runtime.chat_inputs import Turn, single_question
from workers.runtime.decoding.conversation_tensors import padded_length
from workers.runtime.decoding.conversations import (
    MOST_DIFFERENCE,
    ConversationDecoder,
    misfit,
)
from workers.runtime.decoding.decoder import STEPS_PER_CHECK

pytestmark = pytest.mark.filterwarnings(  # of PaliGemma's processor
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"title": {"type": "string", "maxLength": 20}, "rooms": {"type": "integer"}},
    "required": ["title", "rooms"],
}
TURNS = [
    *(
        Turn(single_question(prompt, [noise(size)]))
        for size, prompt in zip(SIZES, PROMPTS, strict=True)
    ),
    Turn(single_question("both", [noise(size) for size in SIZES[1:]])),
]
"""Prompts of different lengths, with one image or two."""


class Pair:
    """The same checkpoint with both ways of decoding."""

    def __init__(self, folder: Path) -> None:
        self.usual: Any = load(folder, decoding="generate")
        self.static: Any = load(folder, decoding="static")
        self.runner = TapeRunner()
        self.decoder._runner = self.runner

    @property
    def decoder(self) -> Any:
        return self.static._decoder._static

    def answers(self, turns: list[Turn], **options: Any) -> list[Any]:
        """Return what both ways answer, after asserting that it is the same."""
        turns = shown(self.static, turns)  # the same for both
        wanted: list[Any] = self.usual.generate(turns, Options(**options))
        found: list[Any] = self.static.generate(turns, Options(**options))
        assert [text[:2] for text in found] == [text[:2] for text in wanted]
        for text, usual in zip(found, wanted, strict=True):
            # It looks for stop words and loops at every fourth token.
            assert text.usage.given == usual.usage.given
            assert 0 <= text.usage.written - usual.usage.written < STEPS_PER_CHECK
        return wanted


@pytest.fixture(
    scope="module",
    params=[QUICK[0], *(pytest.param(name, marks=pytest.mark.slow) for name in QUICK[1:])],
)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("pair") / request.param
    return Pair(make_checkpoint(request.param, folder))


@each_type
def test_each_type_writes_the_same_in_batches_of_changing_size(
    model_type: str, tmp_path: Path
) -> None:
    pair = Pair(make_checkpoint(model_type, tmp_path / model_type))
    for turns in (TURNS, TURNS[:1], TURNS[1:3], TURNS, TURNS[3:], TURNS[:1]):
        pair.answers(turns, num_predict=20)
    assert pair.runner.replays > 20


def test_a_batch_equals_one_by_one(pair: Pair) -> None:
    options = Options(num_predict=12)
    turns = shown(pair.static, TURNS)
    together = pair.static.generate(turns, options)
    assert together == [pair.static.generate([turn], options)[0] for turn in turns]
    assert len(set(together)) > 1


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 300])
def test_a_limit_on_tokens_holds(pair: Pair, limit: int) -> None:
    before = pair.static.steps
    pair.answers(TURNS[:2], num_predict=limit)
    assert pair.static.steps - before <= limit


def test_texts_that_repeat_themselves_end_alike(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a token depends on the last one only, a text is soon a circle."""
    for model in (pair.usual, pair.static):
        for name, weight in model._decoder._model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                monkeypatch.setattr(weight, "data", torch.zeros_like(weight))
    pair.decoder.release()
    before = pair.static.steps
    pair.answers(TURNS, num_predict=200)
    assert pair.static.steps - before < 200


def test_stop_words_end_a_text_in_the_same_place(pair: Pair) -> None:
    for answer in pair.answers(TURNS, num_predict=30):
        stop = answer.text[5:7], answer.text[12:13]
        stopped = pair.answers(TURNS, num_predict=30, stop=stop)
        assert not all(text.is_cut for text in stopped)


def test_rows_with_and_without_a_grammar_share_a_batch(pair: Pair) -> None:
    turns = [TURNS[0]._replace(format=SCHEMA), TURNS[1], TURNS[2]._replace(format="json")]
    for limit in (40, 100):
        whole, free, json_ = pair.answers(turns, num_predict=limit)
        jsonschema.validate(json.loads(whole.text), SCHEMA)
        json.loads(json_.text)
        assert [free] == pair.answers(turns[1:2], num_predict=limit)
    assert pair.runner.replays


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.7, "seed": 3},
        {"temperature": 2, "top_k": 9, "top_p": 0.9, "min_p": 0.01, "typical_p": 0.9, "seed": 4},
        {"temperature": 1, "top_k": 0, "top_p": 1, "seed": 5, "repeat_penalty": 1.3},
        {"repeat_penalty": 1.2},
        {"repeat_penalty": 0.5},
    ],
)
def test_sampling_and_penalties_give_the_same(pair: Pair, options: dict[str, Any]) -> None:
    before = pair.runner.replays
    assert pair.answers(TURNS, num_predict=20, **options) != pair.answers(TURNS, num_predict=20)
    for turns in (TURNS[:1], TURNS[:3], TURNS):
        pair.answers(turns, num_predict=20, **options)
    assert pair.runner.replays - before > 60


def test_sampling_by_a_grammar_is_left_to_generate(pair: Pair) -> None:
    before = pair.runner.replays
    turns = [TURNS[0]._replace(format=SCHEMA), TURNS[1]]
    pair.answers(turns, num_predict=60, temperature=1, seed=1)
    assert pair.runner.replays == before


def test_what_a_checkpoint_says_of_texts_is_honoured(tmp_path: Path) -> None:
    folder = make_checkpoint("qwen3_vl", tmp_path / "qwen3_vl")
    config = folder / "generation_config.json"
    settings = json.loads(config.read_text())
    ends = [settings["eos_token_id"], 40]
    settings |= {"eos_token_id": ends, "cache_implementation": "hybrid", "do_sample": True}
    plain: list[Any] = []
    for more in (
        {}, {"suppress_tokens": [*range(60, 200)]}, {"repetition_penalty": 1.3},
        {"suppress_tokens": [*range(60, 200)], "repetition_penalty": 0.8, "top_k": 3},
    ):  # fmt: skip
        config.write_text(json.dumps(settings | more))
        pair = Pair(folder)
        texts = pair.answers(TURNS, num_predict=20)
        assert texts != plain
        plain = plain or texts
        form: dict[str, Any] = {"type": "string", "maxLength": 12}
        pair.answers([TURNS[0]._replace(format=form), *TURNS[1:]], num_predict=24)
        pair.answers(TURNS, num_predict=20, temperature=1.5, seed=6)
        assert pair.runner.replays


def test_memory_serves_many_short_conversations_or_few_long_ones(pair: Pair) -> None:
    pair.decoder.release()
    pair.answers(TURNS[:1] * 8, num_predict=8)
    tensors = pair.decoder._tensors
    pair.answers(TURNS[:1], num_predict=400)
    pair.answers(TURNS[:1] * 7, num_predict=8)
    assert pair.decoder._tensors is tensors
    pair.answers(TURNS[:1] * 9, num_predict=8)
    assert pair.decoder._tensors is not tensors


def test_a_failure_gives_all_memory_up(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError

    pair.answers(TURNS[:1], num_predict=8)
    monkeypatch.setattr(pair.runner, "run", fail)
    with pytest.raises(torch.OutOfMemoryError):
        pair.static.generate(shown(pair.static, TURNS[:1]), Options(num_predict=8))
    assert pair.decoder._tensors is None
    monkeypatch.undo()
    pair.answers(TURNS[:2], num_predict=8)


def test_a_single_short_conversation_has_room_for_a_penalty(pair: Pair) -> None:
    pair.decoder.release()
    pair.answers(TURNS[:1], num_predict=8, repeat_penalty=1.2)


def test_a_type_that_does_more_in_generate_is_left_to_it(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores of the first steps are compared: other positions, as a stand-in, give others."""
    difference = torch.inference_mode()(pair.decoder.difference)
    inputs = pair.static._inputs.encode(shown(pair.static, TURNS))
    assert difference(inputs) < MOST_DIFFERENCE / 100
    read = ConversationDecoder._read

    def misread(decoder: ConversationDecoder, *args: Any) -> Any:
        logits, positions = read(decoder, *args)
        return logits, positions + 3

    monkeypatch.setattr(ConversationDecoder, "_read", misread)
    assert difference(inputs) > 3 * MOST_DIFFERENCE
    model = load(make_checkpoint("internvl", tmp_path / "internvl"), decoding="static")
    usual = load(tmp_path / "internvl", decoding="generate")
    turns = shown(model, [TURNS[0]._replace(format=SCHEMA), *TURNS[1:]])
    options = Options(num_predict=60)
    assert model.generate(turns, options) == usual.generate(turns, options)
    assert "scores of tokens differ by" in model.acceleration


def test_a_type_whose_steps_fail_is_left_to_generate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise TypeError("no such mask")

    folder = make_checkpoint("internvl", tmp_path / "internvl")
    model: Any = load(folder, decoding="static")
    monkeypatch.setattr(ConversationDecoder, "_mask", fail)
    turns = shown(model, TURNS)
    answers = model.generate(turns, Options(num_predict=8))
    assert answers == load(folder).generate(turns, Options(num_predict=8))
    assert model.acceleration.endswith("tensors of fixed shape failed: TypeError: no such mask")


def test_a_batch_that_generate_fails_with_too_changes_nothing(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("nobody can read this")

    before = pair.static.acceleration
    monkeypatch.setattr(pair.static._decoder._model, "generate", fail)
    with pytest.raises(ValueError, match="nobody can read this"):
        pair.static.generate(shown(pair.static, TURNS), Options(num_predict=8))
    assert pair.static.acceleration == before


def test_models_that_do_not_fit_keep_generate_and_say_why(tmp_path: Path) -> None:
    folder = make_checkpoint("internvl", tmp_path / "internvl")
    assert load(folder).acceleration == "none: transformers' own loop decodes"
    config = folder / "generation_config.json"
    settings = json.loads(config.read_text())
    config.write_text(json.dumps({**settings, "min_length": 5}))
    assert "generation_config.json has rules" in load(folder, decoding="static").acceleration
    config.write_text(json.dumps(settings))
    decoder = load(folder, decoding="static")._decoder
    assert isinstance(decoder._static, ConversationDecoder)
    decoder._model.config.get_text_config().layer_types = ["full_attention", "linear_attention"]
    assert misfit(decoder._model) == "it has layers of the kind linear_attention"


@pytest.mark.parametrize(
    ("tokens", "room"), [(1, 256), (256, 256), (257, 384), (385, 512), (800, 1024), (1025, 1536)]
)
def test_room_for_conversations_comes_in_few_sizes(tokens: int, room: int) -> None:
    assert padded_length(tokens) == room
