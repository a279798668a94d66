"""Models that compare pictures with texts give transformers' scores, one by one and in batches."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from shared.model_spec import ModelSpec
from tests.inputs import prepared
from tools.tiny_checkpoints import contrastive, shapes
from tools.tiny_checkpoints.checkpoint import Checkpoint, save
from workers.model.family import LoadContext, LoadError
from workers.preparing.patches import size_in_patches
from workers.runtime.contrastive import (
    PAIRS_IN_TRAINING,
    ContrastiveModel,
    exclusive,
    independent,
)
from workers.runtime.pretrained import Pretrained, PretrainedParameters

TYPES: dict[str, Callable[[], Checkpoint]] = {
    "clip": contrastive.clip,
    "metaclip_2": contrastive.metaclip_2,
    "siglip": contrastive.siglip2,
    "siglip2": contrastive.siglip2_naflex,
}
TEXTS = ["a photo of a red circle", "blue", "a photo of something"]
PICTURES = [
    shapes.draw(1).image,
    shapes.draw(2).image.resize((300, 90)),
    shapes.draw(3).image.resize((20, 400)),
    Image.new("RGB", (1, 1), "red"),
]


@pytest.fixture(scope="module", params=TYPES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random checkpoint of each type."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp(request.param) / "model"
    save(TYPES[request.param](), folder, halve=False)
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> ContrastiveModel:
    return opened(folder)


def opened(folder: Path) -> ContrastiveModel:
    row = {"name": "m", "family": "zero_shot", "source": "x/y"}
    context = LoadContext(ModelSpec.model_validate(row), folder, "cpu", 1)
    return ContrastiveModel(Pretrained(context, PretrainedParameters()))


def inputs(model: ContrastiveModel) -> list[torch.Tensor]:
    images: Any = model.images  # prepares as a model does
    return [prepared(images, picture) for picture in PICTURES]


def test_scores_are_those_of_transformers(folder: Path, model: ContrastiveModel) -> None:
    loader: Any = AutoImageProcessor
    processor = loader.from_pretrained(folder)
    reference: Any = AutoModel.from_pretrained(folder).eval()
    images = processor(PICTURES[:2], return_tensors="pt")
    padding = "max_length" if model.is_sigmoid else True
    texts = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=padding, return_tensors="pt")
    known = ("input_ids",) if model.is_sigmoid else ("input_ids", "attention_mask")
    with torch.no_grad():
        expected = reference(**images, **{name: texts[name] for name in known}).logits_per_image

    embedded = model.embed_images(inputs(model)[:2])
    scores = model.logits(embedded, model.embed_texts(TEXTS, lambda _: None))

    # Images are resized from 8-bit pixels, which are rounded once more in transformers.
    assert scores == pytest.approx(expected, abs=0.03)


def test_a_batch_of_any_sizes_gives_what_each_image_gives_alone(model: ContrastiveModel) -> None:
    batch = model.embed_images(inputs(model))
    alone = torch.cat([model.embed_images([image]) for image in inputs(model)])
    assert (batch - alone).abs().max() < 1e-5
    assert torch.allclose(batch.norm(dim=1), torch.ones(len(batch)))


def test_texts_of_a_batch_give_what_each_gives_alone(model: ContrastiveModel) -> None:
    done: list[int] = []
    batch = model.embed_texts(TEXTS * 20, done.append)
    alone = torch.cat([model.embed_texts([text], lambda _: None) for text in TEXTS])
    assert (batch[:3] - alone).abs().max() < 1e-5
    assert done == [32, 60]
    assert batch.shape == (60, model.width)


def test_a_tokenizer_whose_class_needs_sentencepiece_is_read_without_it(tmp_path: Path) -> None:
    folder = tmp_path / "siglip"
    save(contrastive.siglip2(), folder)
    config = folder / "tokenizer_config.json"
    loaded = [opened(folder)]
    config.write_text(config.read_text().replace("Siglip2Tokenizer", "SiglipTokenizer"))
    loaded.append(opened(folder))
    one, other = (model.embed_texts(TEXTS, lambda _: None) for model in loaded)
    assert torch.equal(one, other)
    (folder / "tokenizer.json").unlink()
    (folder / "spiece.model").write_bytes(b"\x0a\x0e" * 50)
    with pytest.raises(LoadError, match="needs the package `sentencepiece`: install it"):
        opened(folder)


def test_pictures_are_seen_when_texts_are_forgotten(folder: Path) -> None:
    model = opened(folder)
    before = model.embed_images(inputs(model))
    model.forget_texts()
    assert torch.equal(model.embed_images(inputs(model)), before)


@pytest.mark.parametrize(
    "size", [(128, 128), (300, 90), (20, 400), (1, 1), (6000, 4000), (1, 9999)]
)
@pytest.mark.parametrize(("patch", "most"), [(8, 16), (16, 256), (14, 729)])
def test_sizes_in_patches_are_those_of_transformers(
    size: tuple[int, int], patch: int, most: int
) -> None:
    from transformers.models.siglip2.image_processing_pil_siglip2 import (
        get_image_size_for_max_num_patches,
    )

    width, height = size
    expected = get_image_size_for_max_num_patches(height, width, patch, most)
    assert size_in_patches(size, patch, most) == expected[::-1]


def test_the_prior_of_siglip_is_replaced_by_that_of_the_vocabulary() -> None:
    """At the trained prior nothing is known of the picture, so the vocabulary's prior is left."""
    at_prior = torch.full((1, 100), -float(torch.tensor(PAIRS_IN_TRAINING - 1.0).log()))
    assert independent(at_prior, expected=4)[0, 0].item() == pytest.approx(0.04)
    assert independent(at_prior[:, :4], expected=4)[0, 0].item() == pytest.approx(0.5)
    assert independent(at_prior + 5, 4)[0, 0] > independent(at_prior, 4)[0, 0]


def test_clip_shares_one_picture_between_labels_and_background() -> None:
    labels, background = torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 1.0]])
    total = 2.718281828**2 + 3
    found = exclusive(labels, background)
    assert found[0].tolist() == pytest.approx([2.718281828**2 / total, 1 / total])
