"""Generation by chat models: tiny random checkpoints."""

from pathlib import Path

import pytest
from PIL import Image

from shared.messages import Options
from shared.model_spec import ModelSpec
from tests.chat_checkpoints import make_checkpoint
from workers.model.family import LoadContext
from workers.runtime.chat import ChatModel
from workers.runtime.chat_inputs import Turn
from workers.runtime.generation import GenerationParameters
from workers.runtime.pretrained import Pretrained

PROMPTS = ("name the colour", "Describe this photo in one long sentence. <image>", "?")
SIZES = ((64, 48), (1, 1), (600, 30))
OPTIONS = Options(num_predict=12)


def load(folder: Path) -> ChatModel:
    row = {"name": "m", "family": "image_text_to_text", "source": "x/y"}
    spec = ModelSpec.model_validate(row)
    defaults = GenerationParameters()
    return ChatModel(Pretrained(LoadContext(spec, folder, "cpu", 1), defaults), defaults)


def noise(size: tuple[int, int]) -> Image.Image:
    return Image.effect_noise(size, 80).convert("RGB")


@pytest.mark.parametrize("model_type", ["smolvlm"])
def test_a_batch_of_different_prompts_and_sizes_equals_one_by_one(
    model_type: str, tmp_path: Path
) -> None:
    model = load(make_checkpoint(model_type, tmp_path / model_type))
    turns = [Turn([noise(size)], prompt) for size, prompt in zip(SIZES, PROMPTS, strict=True)]
    together = model.generate(turns, OPTIONS)
    assert together == [model.generate([turn], OPTIONS)[0] for turn in turns]
    assert len(set(together)) > 1
