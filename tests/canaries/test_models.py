"""What the model process knows of the insides of transformers and torch.

Most of it is seen where it would change an answer, see ``test_versions.py``. Here is what would
only make things slower, or hide an error, and so be noticed by nobody.
"""

# transformers leaves much of what it offers without types
# mypy: allow-untyped-calls

from typing import Any

import pytest
import torch
from transformers import AutoImageProcessor

from tests.stack import TESTS
from workers.model import device_errors
from workers.runtime.beams import SHARED, BeamsShareImages, ImageCache
from workers.runtime.inputs import ImageInputs

CHECKPOINTS = TESTS / "checkpoints"


@pytest.mark.parametrize("folder", ["vit-gpt2", "blip", "kosmos-2", "vit-classifier"])
def test_processors_do_what_ours_replaces(folder: str) -> None:
    """Otherwise images are prepared in the model process, with the same result."""
    assert ImageInputs(AutoImageProcessor.from_pretrained(CHECKPOINTS / folder)).is_known


@torch.inference_mode()
def test_generate_asks_our_method_to_repeat_its_inputs_and_beams_share_an_image() -> None:
    """Otherwise each beam reads its image anew, with the same captions in twice the time."""
    model: Any = BeamsShareImages.from_pretrained(CHECKPOINTS / "vit-gpt2").eval()
    model.decoder.set_attn_implementation(SHARED)
    rows: set[tuple[int, int]] = set()

    def note(_: Any, args: tuple[Any, ...], inputs: dict[str, Any]) -> None:
        rows.add((len(inputs["input_ids"]), len(inputs["encoder_hidden_states"])))

    model.decoder.register_forward_pre_hook(note, with_kwargs=True)
    images = torch.zeros(2, 3, *[model.config.encoder.image_size] * 2)
    model.generate(images, past_key_values=ImageCache(), num_beams=4, max_new_tokens=4)
    assert rows == {(8, 2)}


def test_torch_calls_its_errors_by_the_names_that_are_looked_for() -> None:
    """By name, because the worker must tell them without importing torch."""
    assert device_errors.is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert device_errors.is_device_fault(torch.AcceleratorError("CUDA error: an illegal access"))
    assert torch.AcceleratorError.__name__ == "AcceleratorError"
