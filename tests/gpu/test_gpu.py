"""What only a CUDA GPU shows: right answers in each dtype, recorded graphs, memory given back."""

import gc
from typing import Any

import pytest
import torch

from shared.messages import Instructions
from shared.model_spec import ModelSpec
from shared.options import Options
from shared.tasks import CAPTION
from tests.inputs import prepared
from tests.stack import TESTS
from tools.tiny_checkpoints import shapes
from workers.model import energy
from workers.model.energy import read_card
from workers.model.family import LoadContext, PreparedJob, VisionModel, load_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]

CHECKPOINTS = TESTS / "checkpoints"
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "vision_encoder_decoder": ("vit-gpt2", {"max_new_tokens": 16, "num_beams": 4}),
    "blip": ("blip", {"max_new_tokens": 16}),
    "kosmos2": ("kosmos-2", {"max_new_tokens": 32}),
}
PICTURES = [shapes.draw(shapes.HELD_OUT_SEED + n).image for n in range(100)]


def load(family: str, device: str = "cuda", **parameters: Any) -> Any:
    folder, usual = FAMILIES[family]
    row = {"name": "m", "family": family, "source": "x/y", "parameters": usual | parameters}
    return load_model(LoadContext(ModelSpec.model_validate(row), CHECKPOINTS / folder, device, 1))


def captions(model: VisionModel, batch: int, **options: Any) -> list[str]:
    instructions = Instructions(tasks=(CAPTION,), options=Options(**options))
    texts: list[str] = []
    for start in range(0, len(PICTURES), batch):
        some = PICTURES[start : start + batch]
        jobs = [PreparedJob([prepared(model, picture)], instructions) for picture in some]
        texts += [result[CAPTION].text for result in model.predict(jobs, max_images=batch)]
    return texts


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def right(family: str) -> list[str]:
    return captions(load(family, "cpu", dtype="float32"), 20)


@pytest.mark.parametrize("dtype", ["auto", "float16", "float32"])
def test_captions_are_those_of_the_cpu(family: str, right: list[str], dtype: str) -> None:
    model = load(family, dtype=dtype)
    for batch in (64, 20, 1, 7):
        found = captions(model, batch)
        assert sum(a == b for a, b in zip(found, right, strict=True)) >= 99, batch
    assert model.acceleration == "CUDA graphs"
    assert any(model._static._runner._graphs.values())


def test_sampling_and_stop_words_work_beside_graphs(family: str, right: list[str]) -> None:
    model = load(family)
    assert captions(model, 50)[:5] == right[:5]
    assert all(captions(model, 50, temperature=0.5, seed=1))
    assert captions(model, 50)[:5] == right[:5]


def test_joules_are_counted_while_the_model_works(family: str) -> None:
    model = load(family)
    captions(model, 50)
    before = energy._joules(read_card().uuid)
    assert before
    while energy._joules(read_card().uuid) == before:  # until the test's time is over
        captions(model, 50)


def test_memory_that_ran_out_is_given_back_and_the_model_goes_on(
    right: list[str], family: str
) -> None:
    model = load(family)
    captions(model, 10)
    hog, chunk = [], 64 * 2**20
    try:
        while True:
            hog.append(torch.empty(chunk, dtype=torch.uint8, device="cuda"))
    except torch.OutOfMemoryError:
        pass
    try:
        with pytest.raises(torch.OutOfMemoryError):
            model._static.generate(torch.zeros((4096, 3, 32, 32), device="cuda"), [1], 16)
    finally:
        hog.clear()
        gc.collect()
        torch.cuda.empty_cache()
    assert captions(model, 10)[:5] == right[:5]
