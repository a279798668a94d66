"""No text needs more positions than its model has.

An index out of range is an error on the CPU, and the end of the process on a GPU.
"""

from types import SimpleNamespace
from typing import Any

import pytest

from shared.messages import Instructions
from shared.model_spec import ModelSpec
from shared.options import Options
from shared.tasks import CAPTION
from tests.conftest import plain
from tests.inputs import prepared
from tests.stack import TESTS
from tools.full_checkpoints import never_end
from workers.model.family import LoadContext, PreparedJob, load_model
from workers.runtime import generation

CAPTIONERS = {"blip": "blip", "kosmos2": "kosmos-2", "vision_encoder_decoder": "vit-gpt2"}
PARAMETERS: list[dict[str, Any]] = [
    {"max_new_tokens": 600},
    {"decoding": "static"},
    {"num_beams": 3, "decoding": "generate"},
]
PROMPTS = ("", "a photo of a red", "<grounding>a b c d e f g h")
OPTIONS: list[dict[str, Any]] = [
    {},
    {"num_predict": 512},
    {"num_predict": 512, "repeat_penalty": 0.01},
    {"num_predict": 512, "temperature": 1.0, "seed": 1},
    {"num_predict": 512, "stop": ["nothing says this"]},
]


def endless(family: str, parameters: dict[str, Any]) -> Any:
    """A model that ends no text by itself."""
    row = {"name": "m", "family": family, "source": "x/y"}
    spec = ModelSpec.model_validate({**row, "parameters": {"dtype": "float32", **parameters}})
    model: Any = load_model(LoadContext(spec, TESTS / "checkpoints" / CAPTIONERS[family], "cpu", 1))
    tokenizer = model._tokenizer if hasattr(model, "_tokenizer") else model._processor.tokenizer
    never_end(SimpleNamespace(model=model._model, tokenizer=tokenizer))  # type: ignore[arg-type]
    return model


@pytest.mark.slow
@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
@pytest.mark.parametrize("family", CAPTIONERS)
def test_a_text_that_never_ends_is_ended_at_the_last_position(
    family: str, parameters: dict[str, Any]
) -> None:
    model = endless(family, parameters)
    images = [prepared(model, plain(red, 0)) for red in (0, 255)]
    longest = 0
    for prompt in PROMPTS:
        for options in OPTIONS:
            before = model.steps
            asked = Instructions(tasks=(CAPTION,), prompt=prompt, options=Options(**options))
            model.predict([PreparedJob(images, asked)], max_images=2)
            longest = max(longest, model.steps - before)
    assert longest > generation.positions(model._model) / 2
