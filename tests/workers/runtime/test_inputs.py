"""Pixels that reach a model are those of transformers' own image processors."""

# transformers leaves much of what it offers without types
# mypy: allow-untyped-calls

import io
import math
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, CLIPImageProcessorPil, ConvNextImageProcessorPil

from tests.inputs import as_file
from tests.stack import SAMPLES, TESTS
from workers.runtime.inputs import ImageInputs

FOLDERS = ("vit-gpt2", "blip", "kosmos-2", "vit-classifier")
CPU = torch.device("cpu")
CLIP_SIZES: dict[str, Any] = {
    "size": {"shortest_edge": 224},
    "crop_size": {"height": 224, "width": 224},
}


def processor(folder: str) -> Any:
    return AutoImageProcessor.from_pretrained(TESTS / "checkpoints" / folder)


def of_transformers(own: Any, image: Image.Image) -> torch.Tensor:
    values: torch.Tensor = own(images=image, return_tensors="pt")["pixel_values"]
    return values


def ours(own: Any, file: bytes, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    inputs = ImageInputs(own)
    return inputs.batch([inputs.prepare(inputs.preparation.run(file, math.inf))], CPU, dtype)


def step(own: Any) -> float:
    """The most that one step of a pixel, of 255, changes a normalised value by."""
    return 1 / 255 / float(min(own.image_std))


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize(
    "size", [(451, 300), (448, 694), (33, 97), (32, 32), (31, 97), (300, 20), (1, 1)]
)
def test_no_pixel_differs_by_more_than_one_step(folder: str, size: tuple[int, int]) -> None:
    image = Image.open(SAMPLES / "coffee.jpg").convert("RGB").resize(size)
    own = processor(folder)
    expected, found = of_transformers(own, image), ours(own, as_file(image))
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1.01 * step(own)


@pytest.mark.parametrize("folder", ["vit-gpt2", "blip", "vit-classifier"])
def test_where_the_whole_image_is_resized_pixels_are_equal(folder: str) -> None:
    image = Image.effect_noise((451, 300), 80).convert("RGB")
    own = processor(folder)
    torch.testing.assert_close(
        ours(own, as_file(image)), of_transformers(own, image), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("name", ["astronaut", "cat", "coffee"])
def test_a_jpeg_decoded_at_a_reduced_size_looks_the_same(name: str) -> None:
    """Three times as large as the samples, so that the decoder makes it smaller first."""
    photo, file = Image.open(SAMPLES / f"{name}.jpg").convert("RGB"), io.BytesIO()
    photo.resize((3 * photo.width, 3 * photo.height)).save(file, "JPEG", quality=92)
    own = CLIPImageProcessorPil(**CLIP_SIZES)
    difference = ours(own, file.getvalue()) - of_transformers(own, Image.open(file))
    assert 0 < difference.abs().mean() < step(own)
    assert difference.abs().quantile(0.999) < 8.5 * step(own)


def test_values_get_the_dtype_of_the_model_at_the_end() -> None:
    image, own = Image.effect_noise((64, 64), 80).convert("RGB"), processor("blip")
    exact, rounded = (ours(own, as_file(image), dtype) for dtype in (torch.float32, torch.bfloat16))
    assert rounded.equal(exact.bfloat16())


@pytest.mark.parametrize(
    "own",
    [
        ConvNextImageProcessorPil(),
        CLIPImageProcessorPil(do_resize=False, do_center_crop=False),
        CLIPImageProcessorPil(do_rescale=False),
        CLIPImageProcessorPil(
            size={"shortest_edge": 30}, crop_size={"height": 50, "width": 50}
        ),
    ],
    ids=["resizes in its own way", "no size", "no rescaling", "pads"],
)  # fmt: skip
def test_a_processor_of_which_more_must_be_known_gets_the_image(own: Any) -> None:
    image = Image.effect_noise((90, 60), 80).convert("RGB")
    assert not ImageInputs(own).is_known
    assert ours(own, as_file(image)).equal(of_transformers(own, image).float())
