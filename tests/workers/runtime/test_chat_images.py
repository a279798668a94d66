"""Chat models get of prepared images what their own image processors would make of them."""

import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.chat_checkpoints import RECIPES, make_checkpoint
from tests.inputs import as_file
from tests.stack import SAMPLES
from tests.workers.runtime.test_chat import each_type, noise
from workers.preparing import layouts
from workers.preparing.crop import centre_of_strip
from workers.runtime import chat_images
from workers.runtime.chat_images import ChatImages
from workers.runtime.chat_inputs import ChatInputs, Turn, single_question
from workers.runtime.chat_processor import ChatProcessor

pytestmark = pytest.mark.filterwarnings(  # of PaliGemma's processor
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
CPU = torch.device("cpu")
CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
SIZES = ((64, 48), (1, 1), (600, 30), (1, 90), (213, 160), (150, 250), (31, 33), (260, 65))
"""Squares, panoramas, and what some types divide."""
OTHERS = ("llava_onevision",)
"""Types whose own processors run."""
MANY_TILES: dict[str, dict[str, Any]] = {
    "internvl": {"max_patches": 12},
    "minicpmv4_6": {"max_slice_nums": 9},
    "smolvlm": {"size": {"longest_edge": 160}},
}


def inputs_of(folder: Path) -> ChatInputs:
    return ChatInputs(ChatProcessor.from_pretrained(folder, local_files_only=True))


def replaced(inputs: ChatInputs) -> ChatImages:
    images = chat_images.replace(inputs, CPU, torch.float32)
    assert images
    return images


def asked_about(*images: Sequence[Any]) -> list[Turn]:
    return [Turn(single_question("what" * len(some), some)) for some in images]


def assert_equal(found: Any, expected: Any) -> None:
    assert found.keys() == expected.keys()
    for name, wanted in expected.items():
        if isinstance(wanted, torch.Tensor):
            torch.testing.assert_close(found[name], wanted, rtol=0, atol=1e-6)
        else:
            assert found[name] == wanted


@each_type
def test_inputs_are_those_of_the_types_own_processor(model_type: str, tmp_path: Path) -> None:
    folder = make_checkpoint(model_type, tmp_path / model_type)
    settings = folder / "preprocessor_config.json"
    more = MANY_TILES.get(model_type, {})
    settings.write_text(json.dumps(json.loads(settings.read_text()) | more))
    own, ours = inputs_of(folder), inputs_of(folder)
    if model_type in OTHERS:
        assert chat_images.replace(ours, CPU, torch.float32) is None
        return
    images = replaced(ours)
    pictures = list(map(noise, SIZES))
    shown = [
        images.prepare(images.preparation.run(as_file(picture), math.inf)) for picture in pictures
    ]
    seen = list(map(centre_of_strip, pictures))
    for picture, image in zip(seen, shown, strict=True):
        assert_equal(ours.encode(asked_about([image])), own.encode(asked_about([picture])))
    batch = [[0], [1, 2], [4, 5, 3]]
    if RECIPES[model_type].has_template:
        batch.insert(1, [])
    together = [asked_about(*([x[n] for n in some] for some in batch)) for x in (shown, seen)]
    assert_equal(ours.encode(together[0]), own.encode(together[1]))


def test_a_processor_with_other_results_keeps_its_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_middle(whole: layouts.Size, **arguments: Any) -> layouts.Layout:
        layout = layouts.within_pixels(whole, **arguments)
        return layout._replace(resized=((2 * layout.window[0], layout.window[1]),))

    inputs = inputs_of(make_checkpoint("qwen3_vl", tmp_path / "qwen3_vl"))
    own = inputs.processor.image_processor
    monkeypatch.setitem(layouts.LAYOUTS, "within_pixels", without_middle)
    assert chat_images.replace(inputs, CPU, torch.float32) is None
    assert inputs.processor.image_processor is own


def test_settings_that_are_not_known_leave_images_to_the_processor(tmp_path: Path) -> None:
    inputs = inputs_of(make_checkpoint("smolvlm", tmp_path / "smolvlm"))
    inputs.processor.image_processor.do_rescale = False
    assert chat_images.replace(inputs, CPU, torch.float32) is None


def test_a_jpeg_decoded_at_a_reduced_size_has_the_frames_of_all_its_pixels(tmp_path: Path) -> None:
    """Its sides are odd, so that the decoder's last row and column lie partly outside of it."""
    inputs = inputs_of(make_checkpoint("qwen3_vl", tmp_path / "qwen3_vl"))
    images, file = replaced(inputs), io.BytesIO()
    photo = Image.open(SAMPLES / "coffee.jpg")
    photo.resize((1601, 1003)).save(file, "JPEG", quality=92)
    prepared = images.preparation.run(file.getvalue(), math.inf)
    assert prepared.whole == (1601, 1003)
    own = inputs_of(tmp_path / "qwen3_vl")
    expected = own.encode(asked_about([Image.open(file)]))["pixel_values"]
    found = inputs.encode(asked_about([images.prepare(prepared)]))["pixel_values"]
    assert found.shape == expected.shape
    assert (found - expected).abs().mean() < 1 / 255 / min(CLIP_DEVIATION)


def test_values_have_the_dtype_of_the_model(tmp_path: Path) -> None:
    inputs = inputs_of(make_checkpoint("smolvlm", tmp_path / "smolvlm"))
    images = chat_images.replace(inputs, CPU, torch.bfloat16)
    assert images
    image = images.prepare(images.preparation.run(as_file(noise((64, 48))), math.inf))
    assert inputs.encode(asked_about([image]))["pixel_values"].dtype == torch.bfloat16
