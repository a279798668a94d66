"""Generation by chat models: tiny random checkpoints of many types."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from shared.errors import BadRequest
from shared.model_spec import ModelSpec
from shared.options import Options
from shared.tasks.answer import Usage
from tests.chat_checkpoints import RECIPES, make_checkpoint
from tests.inputs import shown
from workers.model.family import LoadContext, LoadError, load_model
from workers.runtime import four_bit
from workers.runtime.chat import ChatModel, Text
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
CONTEXT = 4096
"""Tokens that the types made here have positions for."""
QUICK = ("smolvlm", "qwen3_vl")
"""Types that are tried in the quick tests; all others are slow, as each takes a second."""


def load(
    folder: Path,
    dtype: DtypeName = "float32",
    device: str = "cpu",
    *,
    in_four_bits: bool = False,
    **parameters: Any,
) -> ChatModel:
    row = {"name": "m", "family": "image_text_to_text", "source": "x/y"}
    spec = ModelSpec.model_validate(row)
    defaults = GenerationParameters(dtype=dtype, **parameters)
    pretrained = Pretrained(LoadContext(spec, folder, device, 1), defaults)
    return ChatModel(pretrained, defaults, MAX_PIXELS, {}, in_four_bits=in_four_bits)


def noise(size: tuple[int, int]) -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels)


SEEN = Turn(single_question(PROMPTS[0], [noise(SIZES[0])]))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> ChatModel:
    return load(make_checkpoint("smolvlm", tmp_path_factory.mktemp("small") / "smolvlm"))


def overhead(model: ChatModel) -> int:
    """Return how many tokens a question has beside its text."""
    turns = [Turn(single_question("zz"))]
    return int(model._inputs.encode(turns)["attention_mask"].sum()) - 2


def assert_refused(model: ChatModel, good: Turn, bad: Turn, reason: str) -> None:
    good, bad = shown(model, [good, bad])
    first, second = model.generate([good, bad], OPTIONS)
    assert first == model.generate([good], OPTIONS)[0]
    assert isinstance(first, Text)
    assert isinstance(second, BadRequest)
    assert reason in second.message


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
    turns = shown(model, turns)
    together = model.generate(turns, OPTIONS)
    assert together == [model.generate([turn], OPTIONS)[0] for turn in turns]
    assert len(set(together)) > 1


@each_type
def test_each_type_runs_in_int8_on_a_cpu(model_type: str, tmp_path: Path) -> None:
    model = load(make_checkpoint(model_type, tmp_path / model_type), dtype="int8")
    before = model.steps
    model.generate(shown(model, [SEEN]), OPTIONS)
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


def test_weights_of_four_bits_need_a_gpu(tmp_path: Path) -> None:
    folder = make_checkpoint("smolvlm", tmp_path / "smolvlm")
    parameters = {"quantization": "4bit", "dtype": "float32"}
    row = {"name": "m", "family": "image_text_to_text", "source": "x/y", "parameters": parameters}
    with pytest.raises(LoadError, match="`quantization: 4bit` is for CUDA GPUs"):
        load_model(LoadContext(ModelSpec.model_validate(row), folder, "cpu", 1))


def test_weights_of_four_bits_need_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(four_bit, "PACKAGES", ("json", "no_such_package"))
    with pytest.raises(LoadError, match="install `no_such_package`, or leave it out"):
        four_bit.arguments(torch.device("cuda"), torch.bfloat16)


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


REFUSES = (
    "{% for m in messages[1:] %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}"
    "{% endfor %}"
)
IGNORES = (
    "{% set later = messages[1:] | rejectattr('role', 'equalto', 'system') | list %}"
    "{% set messages = messages[:1] + later %}"
)


@pytest.mark.parametrize(
    ("before", "told"),
    [
        pytest.param("", "<start_of_turn>system\nbe brief<end_of_turn>", id="taken"),
        pytest.param(REFUSES, "<start_of_turn>user\nbe brief\n\nwhere", id="refused"),
        pytest.param(IGNORES, "<start_of_turn>user\nbe brief\n\nwhere", id="ignored"),
    ],
)
def test_what_a_system_says_within_a_conversation_reaches_the_model(
    tmp_path: Path, before: str, told: str
) -> None:
    folder = make_checkpoint("smolvlm", tmp_path / "smolvlm")
    template = folder / "chat_template.jinja"
    template.write_text(before + template.read_text())
    said = [("system", "see"), ("user", "what"), ("assistant", "a dog")]
    asked = [("system", "be brief"), ("user", "where")]
    prompt = prompt_of(folder, [Message(*words) for words in (*said, *asked)])
    assert told in prompt
    assert "<start_of_turn>system\nsee<end_of_turn>" in prompt
    assert prompt.count("<start_of_turn>user") == 2


def test_messages_of_one_role_in_a_row_become_one(tmp_path: Path) -> None:
    folder = make_checkpoint("smolvlm", tmp_path / "smolvlm")
    prompt = prompt_of(folder, [Message("user", "a dog"), Message("user", "on the grass")])
    assert "a dog\n\non the grass" in prompt
    assert prompt.count("user") == 1


def test_a_conversation_that_the_template_refuses_is_refused_alone(tmp_path: Path) -> None:
    folder = make_checkpoint("smolvlm", tmp_path / "smolvlm")
    template = folder / "chat_template.jinja"
    refusing = "{% if messages[0].role == 'assistant' %}{{ raise_exception('no') }}{% endif %}"
    template.write_text(refusing + template.read_text())
    good = Turn(single_question(PROMPTS[0]))
    bad = Turn([Message("assistant", "Hello!"), Message("user", "a dog")])
    assert_refused(load(folder), good, bad, "chat template does not take")


def test_a_type_that_cannot_chat_without_an_image_refuses_that_alone(tmp_path: Path) -> None:
    model = load(make_checkpoint("paligemma", tmp_path / "paligemma"))
    assert_refused(model, SEEN, Turn(single_question(PROMPTS[0])), "needs an image")


def test_a_text_says_whether_the_limit_has_ended_it(tmp_path: Path) -> None:
    folder = make_checkpoint("smolvlm", tmp_path / "smolvlm")
    model = load(folder)
    (turn,) = shown(model, [SEEN])
    (long,) = model.generate([turn], Options(num_predict=12))
    assert isinstance(long, Text)
    assert long.is_cut
    (stopped,) = load(folder).generate([turn], Options(num_predict=12, stop=(long.text[-1],)))
    assert isinstance(stopped, Text)
    assert not stopped.is_cut
    config = folder / "generation_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "eos_token_id": [*range(256)]}))
    for decoding in ("generate", "static"):
        (ended,) = load(folder, decoding=decoding).generate([turn], Options(num_predict=12))
        assert isinstance(ended, Text)
        assert not ended.is_cut


def test_a_text_says_how_many_tokens_it_took(small: ChatModel) -> None:
    shorter, longer = small.generate(
        [Turn(single_question("zz")), Turn(single_question("z" * 7))], OPTIONS
    )
    assert isinstance(shorter, Text)
    assert isinstance(longer, Text)
    assert shorter.usage == Usage(given=overhead(small) + 2, written=12)
    assert longer.usage == Usage(given=overhead(small) + 7, written=12)


def test_an_answer_by_a_schema_says_whether_the_limit_has_ended_it(small: ChatModel) -> None:
    forms = {"type": "string", "minLength": 20}, {"type": "string", "maxLength": 9}
    turns = [Turn(single_question(PROMPTS[0]), format=form) for form in forms]
    answers = small.generate(turns, Options(num_predict=60))
    assert [isinstance(text, Text) and text.is_cut for text in answers] == [True, False]


def test_a_conversation_longer_than_the_context_is_refused_alone(small: ChatModel) -> None:
    bad = Turn(single_question("z" * CONTEXT))
    assert_refused(small, SEEN, bad, f"the model has room for {CONTEXT}")


def test_a_conversation_that_leaves_no_room_for_its_form_is_refused_alone(
    small: ChatModel,
) -> None:
    form = {"type": "array", "items": {"type": "boolean"}, "minItems": 1}
    good = Turn(single_question(PROMPTS[0]), format=form)
    bad = Turn(single_question("z" * (CONTEXT - overhead(small) - 2)), format=form)
    assert_refused(small, good, bad, "leaves 2 of the model's")


def test_a_long_conversation_does_not_shorten_the_answers_to_others(small: ChatModel) -> None:
    turns = [
        Turn(single_question("z" * (CONTEXT - overhead(small) - 2))),
        *shown(small, [SEEN]),
    ]
    together = small.generate(turns, OPTIONS)
    assert together == [small.generate([turn], OPTIONS)[0] for turn in turns]


def test_a_conversation_is_rendered_once(small: ChatModel, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[Turn] = []
    messages = small._inputs._messages

    def count(turn: Turn) -> Any:
        rendered.append(turn)
        return messages(turn)

    monkeypatch.setattr(small._inputs, "_messages", count)
    turns = [Turn(single_question(prompt)) for prompt in PROMPTS]
    small.generate(turns, OPTIONS)
    assert rendered == turns


def test_clients_write_no_special_tokens(tmp_path: Path) -> None:
    folder = make_checkpoint("smolvlm", tmp_path / "smolvlm")
    asked = single_question("a <image> dog <end_of_turn>")
    assert "a < image> dog < end_of_turn>" in prompt_of(folder, asked)


def prompt_of(folder: Path, messages: list[Message]) -> str:
    """Return a conversation as the model gets it."""
    inputs = ChatInputs(ChatProcessor.from_pretrained(folder, local_files_only=True))
    text: str = inputs.tokenizer.decode(inputs.encode([Turn(messages)])["input_ids"][0])
    return text
