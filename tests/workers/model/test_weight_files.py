"""Which files a model consists of: on disk, and in a repository."""

from pathlib import Path

import pytest

from workers.model.weights import is_complete, wanted_files

SHARDS = '{"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}'
BIN_SHARDS = '{"weight_map": {"a": "pytorch_model-1-of-1.bin"}}'


@pytest.mark.parametrize(
    ("files", "complete"),
    [
        pytest.param({}, False, id="empty"),
        pytest.param({"config.json": "{}"}, False, id="no-weights"),
        pytest.param({"model.safetensors": ""}, False, id="no-configuration"),
        pytest.param({"config.json": "{}", "model.safetensors": ""}, True, id="safetensors"),
        pytest.param({"config.json": "{}", "pytorch_model.bin": ""}, True, id="bin"),
        pytest.param(
            {"config.json": "{}", "model.safetensors.index.json": SHARDS}, False, id="no-shards"
        ),
        pytest.param(
            {
                "config.json": "{}",
                "model.safetensors.index.json": SHARDS,
                "model-1-of-2.safetensors": "",
            },
            False,
            id="a-shard-missing",
        ),
        pytest.param(
            {
                "config.json": "{}",
                "model.safetensors.index.json": SHARDS,
                "model-1-of-2.safetensors": "",
                "model-2-of-2.safetensors": "",
            },
            True,
            id="all-shards",
        ),
        pytest.param(
            {"config.json": "{}", "model.safetensors.index.json": SHARDS[:9]},
            False,
            id="damaged-index",
        ),
        pytest.param(
            {
                "config.json": "{}",
                "model.safetensors": "",
                "pytorch_model.bin.index.json": BIN_SHARDS,
            },
            True,
            id="index-of-the-format-that-was-not-chosen",
        ),
    ],
)
def test_a_folder_is_complete_with_its_configuration_and_all_weights(
    tmp_path: Path, files: dict[str, str], *, complete: bool
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    assert is_complete(tmp_path) is complete


@pytest.mark.parametrize(
    ("weights", "chosen"),
    [
        pytest.param("model.safetensors pytorch_model.bin", "model.safetensors", id="safetensors"),
        pytest.param("pytorch_model.bin flax_model.msgpack", "pytorch_model.bin", id="only-bin"),
        pytest.param(
            "model-1-of-2.safetensors model-2-of-2.safetensors pytorch_model.bin",
            "model-1-of-2.safetensors model-2-of-2.safetensors",
            id="shards",
        ),
        pytest.param(
            "pytorch_model-1-of-2.bin pytorch_model-2-of-2.bin",
            "pytorch_model-1-of-2.bin pytorch_model-2-of-2.bin",
            id="bin-shards",
        ),
        pytest.param("tf_model.h5 model.onnx rust_model.ot", "", id="foreign"),
        pytest.param("fp16/model.safetensors onnx/model.onnx", "", id="in-folders"),
        pytest.param("optimizer.pt training_args.bin model.fp16.safetensors", "", id="by-products"),
    ],
)
def test_the_best_format_of_the_weights_is_chosen(weights: str, chosen: str) -> None:
    texts = ["config.json", "tokenizer.json", "vocab.txt", "spiece.model", "LICENSE"]

    names = wanted_files([*texts, *weights.split(), ".gitattributes", "demo.py", "cat.jpg"])

    assert names == sorted([*texts, *chosen.split()])
