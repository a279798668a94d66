"""EfficientNet-Lite0 computes the same with onnxruntime as with torch."""

from typing import Any

import onnx
import pytest
import torch

from shared.messages import Instructions
from shared.model_spec import ModelSpec
from shared.tasks import LABELS
from tests.inputs import prepared
from tests.nsfw_reference import sample
from tools.efficientnet_graph import model as made_model
from workers.families.efficientnet_lite import CROP_PX, GRAPH, Lite0
from workers.model.family import LoadContext, PreparedJob, load_model


def load(**parameters: Any) -> Any:
    row = {"name": "m", "family": "efficientnet_lite", "parameters": parameters}
    return load_model(LoadContext(ModelSpec.model_validate(row), None, "cpu", 1))


@pytest.fixture(scope="module")
def network() -> Lite0:
    """The network as torch computes it: with random weights, unless they are replaced."""
    network = Lite0().eval()
    network.fold_norms()
    return network


def test_the_graph_is_the_one_that_the_tool_makes(network: Lite0) -> None:
    assert made_model(network) == onnx.load(GRAPH, load_external_data=False)


@pytest.mark.parametrize("images", [1, 3])
def test_logits_are_those_of_torch(monkeypatch: pytest.MonkeyPatch, images: int) -> None:
    torch.manual_seed(images)
    noise = torch.randint(0, 256, (images, CROP_PX, CROP_PX, 3), dtype=torch.uint8)
    in_onnxruntime = load()._logits(noise)
    monkeypatch.setattr(
        "workers.families.efficientnet_lite._in_onnxruntime",
        lambda network, _threads: (
            lambda pixels: network((pixels.permute(0, 3, 1, 2).float() - 127) / 128)
        ),
    )
    with torch.inference_mode():
        in_torch = load()._logits(noise)
    assert in_torch.std() > 0.5
    assert (in_onnxruntime - in_torch).abs().max() < 1e-4


def test_another_dtype_is_computed_by_torch() -> None:
    found = [label_names(load(**parameters)) for parameters in ({}, {"dtype": "float16"})]
    assert found[0] == found[1]
    assert "cat" in found[0][0].lower()


def label_names(model: Any) -> list[str]:
    job = PreparedJob([prepared(model, sample("cat"))], Instructions(tasks=(LABELS,)))
    return [label.name for label in model.predict([job], 1)[0][LABELS]]
