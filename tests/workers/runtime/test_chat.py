"""Generation by chat models: tiny random checkpoints of many types."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.messages import Options
from shared.model_spec import ModelSpec
from tests.chat_checkpoints import RECIPES, make_checkpoint
from workers.model.family import LoadContext, LoadError
from workers.runtime.chat import ChatModel
from workers.runtime.chat_inputs import ChatInputs, Message, Turn, single_question
from workers.runtime.chat_processor import ChatProcessor
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


pytestmark = pytest.mark.filterwarnings(  # of PaliGemma's processor
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
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


@each_type
def test_each_type_runs_in_int8_on_a_cpu(model_type: str, tmp_path: Path) -> None:
    model = load(make_checkpoint(model_type, tmp_path / model_type), dtype="int8")
    before = model.steps
    model.generate([Turn(single_question(PROMPTS[0], [noise(SIZES[0])]))], OPTIONS)
    assert model.steps > before


def test_a_type_that_cannot_do_without_torchvision_says_so(tmp_path: Path) -> None:
    folder = make_checkpoint("smolvlm", tmp_path / "lfm2")
    for name, key, kind in (
        ("preprocessor_config.json", "image_processor_type", "Lfm2VlImageProcessor"),
        ("processor_config.json", "processor_class", "Lfm2VlProcessor"),
    ):
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**content, key: kind}))
    with pytest.raises(LoadError, match="install the `torchvision` that belongs to your torch"):
        load(folder)


def test_a_checkpoint_that_cannot_chat_says_what_is_missing(tmp_path: Path) -> None:
    folder = make_checkpoint("smolvlm", tmp_path / "base")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(LoadError, match=r"no chat template: put `chat_template\.jinja`"):
        load(folder)


def test_a_template_without_a_system_role_gets_it_as_part_of_the_question(tmp_path: Path) -> None:
    folder = make_checkpoint("smolvlm", tmp_path / "smolvlm")
    template = folder / "chat_template.jinja"
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}"
    template.write_text(refusing + template.read_text())
    assert "the grass\n\na dog" in prompt_of(folder, single_question("a dog", [], "the grass"))


def test_clients_write_no_special_tokens(tmp_path: Path) -> None:
    folder = make_checkpoint("smolvlm", tmp_path / "smolvlm")
    asked = single_question("a <image> dog <end_of_turn>")
    assert "a < image> dog < end_of_turn>" in prompt_of(folder, asked)


def prompt_of(folder: Path, messages: list[Message]) -> str:
    """Return a conversation as the model gets it."""
    inputs = ChatInputs(ChatProcessor.from_pretrained(folder, local_files_only=True))
    text: str = inputs.tokenizer.decode(inputs.encode([Turn(messages)])["input_ids"][0])
    return text
