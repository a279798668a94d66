"""Chat models on a CUDA GPU: recorded steps write what transformers' own loop writes."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from shared.options import Options
from tests.chat_checkpoints import make_checkpoint
from tests.inputs import shown
from tests.workers.runtime.test_chat import PROMPTS, QUICK, load, noise
from workers.runtime import four_bit
from workers.runtime.chat import ChatModel
from workers.runtime.chat_inputs import Turn, single_question

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]
SIDES = (64, 20, 48, 33, 90, 8)
TURNS = [
    Turn(single_question(f"{prompt} {number}", [noise((side, 50))]))
    for number, prompt in enumerate(PROMPTS)
    for side in SIDES
]
BATCHES = (8, 8, 1, 7, len(TURNS), 1, len(TURNS), 3)


@pytest.fixture(params=QUICK)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make_checkpoint(request.param, tmp_path / request.param)


def written(model: ChatModel, size: int, **options: Any) -> list[Any]:
    """Return the answers to all turns, in batches of one size."""
    starts = range(0, len(TURNS), size)
    turns = shown(model, TURNS)
    batches = [model.generate(turns[n : n + size], Options(**options)) for n in starts]
    return [text for batch in batches for text in batch]


def test_graphs_write_what_generate_writes(folder: Path) -> None:
    usual = load(folder, device="cuda", decoding="generate")
    model: Any = load(folder, device="cuda")
    wanted = written(usual, 6, num_predict=12)
    for size in BATCHES:
        found = written(model, size, num_predict=12)
        assert sum(a == b for a, b in zip(found, wanted, strict=True)) >= len(TURNS) - 1, size
    assert model.acceleration == "CUDA graphs"
    assert sum(graph is not None for graph in model._decoder._static._runner._graphs.values()) > 5


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_rows_by_a_grammar_are_valid_beside_free_ones(folder: Path, dtype: Any) -> None:
    model: Any = load(folder, dtype, device="cuda")
    form = {"type": "object", "properties": {"rooms": {"type": "integer"}}, "required": ["rooms"]}
    for limit in (20, 20, 40, 40, 13):
        turns = [turn._replace(format=form if n % 2 else None) for n, turn in enumerate(TURNS)]
        answers = model.generate(shown(model, turns), Options(num_predict=limit))
        for answer in answers[1::2]:
            assert isinstance(json.loads(answer.text)["rooms"], int)
        assert len(set(answers[::2])) > 1
    assert model.acceleration == "CUDA graphs"


def test_sampling_works_beside_graphs(folder: Path) -> None:
    model = load(folder, device="cuda")
    before = written(model, 6, num_predict=12)
    assert written(model, 6, num_predict=12, temperature=0.5, seed=1) != before
    assert written(model, 6, num_predict=12) == before


def test_weights_of_four_bits(folder: Path) -> None:
    for package in four_bit.PACKAGES:
        pytest.importorskip(package)
    model: Any = load(folder, device="cuda", in_four_bits=True)
    assert {type(layer).__name__ for layer in model._decoder._model.modules()} >= {"Linear4bit"}
    assert len(set(written(model, 6, num_predict=12))) > 1
    assert written(model, 6, num_predict=12) == written(model, 6, num_predict=12)
