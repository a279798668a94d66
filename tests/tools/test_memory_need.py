"""The memory that chat models need, as computed from their published configurations."""

import re

import pytest
import torch

from shared.catalog import Catalog
from shared.settings import ROOT
from tools.configurations import MODELS, parameters_of
from tools.memory_need import ANSWER, BATCH, WORDS, Alive, need, table

STATED = {
    "smolvlm2-256m": 256.5,
    "smolvlm2": 507.5,
    "qwen3-vl-2b": 2127.5,
    "qwen3-vl-4b": 4437.8,
    "gemma4-e2b": 5100,
    "minicpm-v-4.6": 1300,
    "florence2-base": 231,
    "siglip2-labels": 375.2,
}
"""Millions of parameters, as the publishers state them."""


@pytest.mark.parametrize("name", STATED)
def test_configurations_have_as_many_parameters_as_the_publishers_state(name: str) -> None:
    assert parameters_of(name) / 1e6 == pytest.approx(STATED[name], rel=0.005)


def test_each_configuration_is_of_a_model_whose_size_is_stated() -> None:
    assert STATED.keys() == MODELS.keys()


def test_tensors_are_counted_as_long_as_they_live() -> None:
    given = torch.zeros(1000)
    with Alive([given]) as alive:
        made = given + 1
        view = made.view(10, 100)
        del made
        assert alive.now == 4000
        other = view * 2
        del view
        assert alive.now == 4000
        given.view(-1)
    assert alive.peak == 8000
    assert other.sum() == 2000


def test_a_batch_needs_its_keys_and_values_and_more() -> None:
    """Of SmolVLM2 256M: 30 layers, 3 heads of 64 numbers for keys and as many for values."""
    for_token = 30 * 2 * 3 * 64 * torch.bfloat16.itemsize
    length = MODELS["smolvlm2-256m"].image_tokens + WORDS + ANSWER

    found = need("smolvlm2-256m")

    assert found.weights == pytest.approx(2 * 256.5e6, rel=0.005)
    assert BATCH * length * for_token < found.batch < 3 * BATCH * length * for_token


@pytest.mark.slow
def test_the_models_page_has_what_is_computed() -> None:
    page = (ROOT / "docs" / "models.md").read_text()
    for line in table(STATED):
        assert line in page


def test_each_chat_model_of_the_catalogue_is_in_the_table_of_the_models_page() -> None:
    page = (ROOT / "docs" / "models.md").read_text()
    named = set(re.findall(r"^\| `([\w.-]+)` \| \d+\.\d\d \|", page, re.MULTILINE))
    catalog = Catalog.load(ROOT / "models.yaml")
    rows = {spec.name for spec in catalog.models if spec.family == "image_text_to_text"}
    assert rows <= named
