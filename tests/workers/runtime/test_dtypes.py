"""Optimisations must not change the answers of models."""

# transformers leaves many functions without types
# mypy: allow-untyped-calls

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn
from transformers import BlipForConditionalGeneration, VisionEncoderDecoderModel
from transformers.pytorch_utils import Conv1D

from shared.messages import Instructions
from shared.model_spec import ModelSpec
from shared.tasks import CAPTION
from tests.inputs import prepared
from tests.stack import TESTS
from tools.full_checkpoints import never_end
from tools.tiny_checkpoints import shapes
from tools.tiny_checkpoints.build import BUILDERS
from tools.tiny_checkpoints.checkpoint import save
from workers.families.blip import Blip, FusedAttention
from workers.families.image_text_to_text import ImageTextToText
from workers.families.kosmos2 import Kosmos2
from workers.families.vision_encoder_decoder import VisionEncoderDecoder
from workers.model.family import LoadContext, LoadError, PreparedJob, VisionModel, load_model
from workers.runtime import device
from workers.runtime.device import DtypeName, pick_dtype
from workers.runtime.quantization import Int8Linear, quantise

CHECKPOINTS = TESTS / "checkpoints"
CPU = torch.device("cpu")
FAMILIES: dict[str, Any] = {
    "vision_encoder_decoder": VisionEncoderDecoder,
    "blip": Blip,
    "kosmos2": Kosmos2,
    "image_text_to_text": ImageTextToText,
}
FOLDERS = {
    "vision_encoder_decoder": "vit-gpt2",
    "blip": "blip",
    "kosmos2": "kosmos-2",
    "image_text_to_text": "smolvlm",
}
FIRST, *OTHERS = FAMILIES
FIRST_AT_ONCE = [FIRST, *(pytest.param(family, marks=pytest.mark.slow) for family in OTHERS)]
"""For what takes long: the others are tested with the slow tests."""
PARAMETERS: dict[str, dict[str, Any]] = {
    "vision_encoder_decoder": {"max_new_tokens": 16, "num_beams": 4},
    "blip": {"max_new_tokens": 16},
    "kosmos2": {"max_new_tokens": 32},
    "image_text_to_text": {"max_new_tokens": 32},
}
PICTURES = [shapes.draw(shapes.HELD_OUT_SEED + n).image for n in range(100)]
BATCH = 20


def load(family: str, folder: Path | None = None, **parameters: Any) -> Any:
    row = {"name": "m", "family": family, "source": "x/y"}
    spec = ModelSpec.model_validate(row | {"parameters": PARAMETERS[family] | parameters})
    return load_model(LoadContext(spec, folder or CHECKPOINTS / FOLDERS[family], "cpu", 1))


def core(model: Any) -> Any:
    """Return what has loaded the model of transformers."""
    return getattr(model, "_chat", model)


def network(model: Any) -> Any:
    """Return the model of transformers."""
    holder = core(model)
    return (holder if hasattr(holder, "_model") else holder._decoder)._model


def captions(model: VisionModel, images: list[Image.Image]) -> list[str]:
    instructions = Instructions(tasks=(CAPTION,))
    jobs = [PreparedJob([prepared(model, image)], instructions) for image in images]
    return [result[CAPTION].text for result in model.predict(jobs, max_images=BATCH)]


@pytest.mark.parametrize("family", FIRST_AT_ONCE)
def test_every_dtype_that_auto_may_choose_gives_the_captions_of_float32(family: str) -> None:
    right = captions(load(family, dtype="float32"), PICTURES)
    assert len(set(right)) > 20
    for dtype in {FAMILIES[family].CPU_DTYPE, "bfloat16", "float16"}:
        found = captions(load(family, dtype=dtype), PICTURES)
        same = sum(one == other for one, other in zip(found, right, strict=True))
        assert same >= 99, dtype


@pytest.mark.parametrize("family", FAMILIES)
def test_auto_is_the_familys_choice_and_rows_may_override_it(family: str) -> None:
    assert core(load(family))._pretrained.dtype == FAMILIES[family].CPU_DTYPE
    assert core(load(family, dtype="bfloat16"))._pretrained.dtype == "bfloat16"


def test_int8_is_refused_where_it_is_not_available(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LoadError, match=r"`dtype: int8` .* cannot be had on cuda"):
        pick_dtype("int8", torch.device("cuda"), "int8")
    monkeypatch.setattr(device, "can_quantise", lambda: False)
    assert pick_dtype("auto", CPU, "int8") == "float32"
    with pytest.raises(LoadError, match="on cpu"):
        pick_dtype("int8", CPU, "int8")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("family", FIRST_AT_ONCE)
def test_weights_converted_on_their_device_are_those_that_transformers_converts(
    family: str, dtype: DtypeName
) -> None:
    right = network(load(family, dtype=dtype)).state_dict(keep_vars=True)
    model = network(load(family, dtype="float32"))
    weights = {weight.data_ptr() for weight in model.parameters()}
    device.move(model, CPU, device.float_type(dtype))
    found = model.state_dict(keep_vars=True)
    assert found.keys() == right.keys()
    assert all(found[name].dtype == right[name].dtype for name in right)
    assert all(torch.equal(found[name], right[name]) for name in right)
    tied = {weight.data_ptr() for weight in model.parameters()}
    assert len(tied) == len(weights)
    buffers = dict(model.named_buffers())
    for name, buffer in network(load(family, dtype=dtype)).named_buffers():
        assert buffer.dtype == buffers[name].dtype
        torch.testing.assert_close(buffer, buffers[name])


def test_what_a_model_wants_in_float32_stays_so() -> None:
    model: Any = nn.ModuleDict({"head": nn.Linear(2, 2), "layer_norm": nn.LayerNorm(2)})
    model._keep_in_fp32_modules, model._keep_in_fp32_modules_strict = {"layer_norm"}, set()
    for dtype, kept in ((torch.bfloat16, torch.bfloat16), (torch.float16, torch.float32)):
        device.move(model, CPU, dtype)
        assert model["head"].weight.dtype == dtype
        assert model["layer_norm"].weight.dtype == kept


@pytest.mark.parametrize("family", FAMILIES)
def test_int8_replaces_all_linear_layers(family: str) -> None:
    kinds = {type(module) for module in network(load(family, dtype="int8")).modules()}
    assert Int8Linear in kinds
    assert not kinds & {nn.Linear, Conv1D}


@torch.inference_mode()
def test_a_row_of_large_values_costs_the_others_no_precision() -> None:
    torch.manual_seed(0)
    exact, x = nn.Linear(64, 32), torch.randn(2, 3, 64)
    model = nn.Sequential(exact)
    quantise(model)
    x[0, 0] *= 1000
    assert (model(x) - exact(x))[1].norm() < 0.03 * exact(x)[1].norm()
    assert model(torch.zeros(1, 64)).equal(exact.bias[None])


@torch.inference_mode()
def test_beams_that_share_an_image_give_the_same_captions_as_transformers() -> None:
    model = load("vision_encoder_decoder", dtype="float32")
    own = VisionEncoderDecoderModel.from_pretrained(CHECKPOINTS / "vit-gpt2").eval()
    batch = model._pretrained.batch([prepared(model, image) for image in PICTURES[:10]])
    tokens = own.generate(batch, max_new_tokens=16, num_beams=4)
    texts = model._tokenizer.batch_decode(tokens, skip_special_tokens=True)
    assert captions(model, PICTURES[:10]) == [text.strip() for text in texts]


@torch.inference_mode()
def test_fused_attention_equals_blips_attention() -> None:
    blip = BlipForConditionalGeneration.from_pretrained(CHECKPOINTS / "blip").eval()
    attention = blip.vision_model.encoder.layers[0].self_attn
    x = torch.randn(2, 17, 64)
    assert FusedAttention(attention)(x)[0].allclose(attention(x)[0], atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_full_checkpoints_generate_texts_of_full_length(family: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    checkpoint = BUILDERS[FOLDERS[family]]()
    never_end(checkpoint)
    save(checkpoint, tmp_path / "m", halve=False)
    model = load(family, tmp_path / "m", max_new_tokens=12)
    seen: list[int] = []
    generate = network(model).generate

    def recording(*args: Any, **options: Any) -> Any:
        tokens = generate(*args, **options)
        seen.append(tokens.shape[1] - options.get("input_ids", torch.empty(1, 1)).shape[1])
        return tokens

    network(model).generate = recording
    assert len(captions(model, PICTURES[:3])) == 3
    assert seen == [12]


def test_dtypes_have_the_names_of_torch() -> None:
    names: list[DtypeName] = ["float32", "bfloat16", "float16", "int8"]
    found = [device.float_type(name) for name in names]
    assert found == [torch.float32, torch.bfloat16, torch.float16, torch.float32]
