"""Generation by chat models: tiny random checkpoints of many types."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.messages import Options
from shared.model_spec import ModelSpec
from tests.chat_checkpoints import RECIPES, make_checkpoint
from workers.model.family import LoadContext
from workers.runtime.chat import ChatModel
from workers.runtime.chat_inputs import Turn, single_question
from workers.runtime.device import DtypeName
from workers.runtime.generation import GenerationParameters
from workers.runtime.pretrained import Pretrained

PROMPTS = ("name the colour", "Describe this photo in one long sentence. <image>", "?")
SIZES = ((64, 48), (1, 1), (600, 30))
"""Usual, the smallest, and a panorama."""
MAX_PIXELS = 64 * 64
OPTIONS = Options(num_predict=12)
QUICK = ("smolvlm", "qwen3_vl")
"""Types that are tried in the quick tests; all others are slow, as each takes a second."""


def load(folder: Path, dtype: DtypeName = "float32") -> ChatModel:
    row = {"name": "m", "family": "image_text_to_text", "source": "x/y"}
    spec = ModelSpec.model_validate(row)
    defaults = GenerationParameters(dtype=dtype)
    pretrained = Pretrained(LoadContext(spec, folder, "cpu", 1), defaults)
    return ChatModel(pretrained, defaults, MAX_PIXELS, {})


def noise(size: tuple[int, int]) -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels)


pytestmark = (
    pytest.mark.filterwarnings(  # of PaliGemma's processor, which makes labels for training
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    )
)
each_type = pytest.mark.parametrize(
    "model_type",
    [t if t in QUICK else pytest.param(t, marks=pytest.mark.slow) for t in RECIPES],
)


@each_type
def test_a_batch_of_different_prompts_and_sizes_equals_one_by_one(
    model_type: str, tmp_path: Path
) -> None:
    model = load(make_checkpoint(model_type, tmp_path / model_type))
    turns = [
        Turn(single_question(prompt, [noise(size)]))
        for size, prompt in zip(SIZES, PROMPTS, strict=True)
    ]
    turns.append(Turn(single_question("both", [noise(size) for size in SIZES[1:]])))
    together = model.generate(turns, OPTIONS)
    assert together == [model.generate([turn], OPTIONS)[0] for turn in turns]
    assert len(set(together)) > 1
