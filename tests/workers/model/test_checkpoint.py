"""What is missing or damaged in a folder of weights, as far as shows without loading them."""

import json
import pickle
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.damage import DAMAGES, ERROR_REPORT, safetensors
from tests.stack import TESTS
from workers.model.checkpoint import describe, find_faults, wanted_files
from workers.model.file_checks import find_damage

CHECKPOINTS = TESTS / "checkpoints"
TEXTLESS = "vit-classifier"
FILES = [
    (folder.name, path.name)
    for folder in sorted(CHECKPOINTS.iterdir())
    if folder.is_dir()
    for path in sorted(folder.iterdir())
]
NOT_READ = ("vocab.txt", "vocab.json", "merges.txt")
"""Where there is a ``tokenizer.json``."""

CONFIG = b'{"model_type": "vit"}'
PROCESSOR = b'{"image_processor_type": "ViTImageProcessor"}'
WHOLE = safetensors("a")
INDEX = b'{"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}'
BIN_INDEX = b'{"weight_map": {"a": "pytorch_model-1-of-1.bin"}}'
BOTH = {"config.json": CONFIG, "preprocessor_config.json": PROCESSOR}


def copy(name: str, to: Path) -> Path:
    return Path(shutil.copytree(CHECKPOINTS / name, to / name))


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def faulty(folder: Path, *, needs_tokenizer: bool = False) -> list[str]:
    return [fault.file for fault in find_faults(folder, needs_tokenizer=needs_tokenizer)]


@pytest.mark.parametrize("name", sorted({name for name, _ in FILES}))
def test_a_sound_checkpoint_has_no_faults(name: str) -> None:
    assert find_faults(CHECKPOINTS / name, needs_tokenizer=name != TEXTLESS) == []


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(("name", "file"), FILES)
def test_a_damaged_file_is_named_and_no_other(
    tmp_path: Path, name: str, file: str, damage: str
) -> None:
    folder = copy(name, tmp_path)
    (folder / file).write_bytes(DAMAGES[damage]((folder / file).read_bytes()))

    found = faulty(folder, needs_tokenizer=name != TEXTLESS)

    is_text_still = file.endswith(".jinja") and damage == "half"
    assert found == ([] if file in NOT_READ or is_text_still else [file])


def test_a_damaged_chat_template_is_named(tmp_path: Path) -> None:
    folder = write(copy("blip", tmp_path), {"chat_template.jinja": DAMAGES["login-page"](b"")})
    assert faulty(folder, needs_tokenizer=True) == ["chat_template.jinja"]


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "half"])
@pytest.mark.parametrize(
    ("name", "file"),
    [("blip", "vocab.txt"), ("vit-gpt2", "vocab.json"), ("vit-gpt2", "merges.txt")],
)
def test_vocabularies_count_where_there_is_no_tokenizer_json(
    tmp_path: Path, name: str, file: str, damage: str
) -> None:
    folder = copy(name, tmp_path)
    (folder / "tokenizer.json").unlink()
    (folder / file).write_bytes(DAMAGES[damage]((folder / file).read_bytes()))

    assert faulty(folder, needs_tokenizer=True) == [file]


@pytest.mark.parametrize(
    ("name", "removed", "missing"),
    [
        ("blip", "tokenizer.json tokenizer_config.json vocab.txt", "tokenizer.json"),
        ("kosmos-2", "tokenizer.json", "tokenizer.json"),
        ("vit-gpt2", "tokenizer.json vocab.json merges.txt", "tokenizer.json"),
        ("vit-gpt2", "tokenizer.json vocab.json", "tokenizer.json"),
        ("vit-gpt2", "tokenizer.json merges.txt", "merges.txt"),
        ("vit-gpt2", "tokenizer.json", ""),
        ("vit-gpt2", "vocab.json merges.txt", ""),
        ("vit-classifier", "preprocessor_config.json", "preprocessor_config.json"),
        ("vit-classifier", "config.json model.safetensors", "config.json model.safetensors"),
    ],
)
def test_what_a_model_needs_and_has_not_is_named(
    tmp_path: Path, name: str, removed: str, missing: str
) -> None:
    folder = copy(name, tmp_path)
    for file in removed.split():
        (folder / file).unlink()

    found = find_faults(folder, needs_tokenizer=name != TEXTLESS)

    assert [fault.file for fault in found] == missing.split()
    assert all(fault.is_missing for fault in found)


def test_a_model_that_writes_no_text_needs_no_tokenizer(tmp_path: Path) -> None:
    folder = copy("blip", tmp_path)
    (folder / "tokenizer.json").write_bytes(b"")

    assert faulty(folder, needs_tokenizer=False) == []


def test_a_model_of_timm_says_in_its_configuration_how_images_are_prepared(tmp_path: Path) -> None:
    config = b'{"architecture": "eva02", "pretrained_cfg": {"mean": [0.5, 0.5, 0.5]}}'
    write(tmp_path, {"config.json": config, "model.safetensors": WHOLE})

    assert faulty(tmp_path) == []


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, "config.json model.safetensors preprocessor_config.json"),
        (BOTH, "model.safetensors"),
        ({**BOTH, "model.safetensors": WHOLE}, ""),
        ({**BOTH, "pytorch_model.bin": b"\x80\x02"}, ""),
        (
            {**BOTH, "model.safetensors.index.json": INDEX},
            "model-1-of-2.safetensors model-2-of-2.safetensors",
        ),
        (
            {
                **BOTH,
                "model.safetensors.index.json": INDEX,
                "model-1-of-2.safetensors": WHOLE,
                "model-2-of-2.safetensors": WHOLE[:-1],
            },
            "model-2-of-2.safetensors",
        ),
        ({**BOTH, "model.safetensors.index.json": INDEX[:9]}, "model.safetensors.index.json"),
        (
            {**BOTH, "model.safetensors.index.json": b'{"weight_map": ["a"]}'},
            "model.safetensors.index.json",
        ),
        ({**BOTH, "model.safetensors": WHOLE, "pytorch_model.bin.index.json": BIN_INDEX}, ""),
        ({**BOTH, "model.safetensors": b"", "pytorch_model.bin": b"\x80"}, "model.safetensors"),
    ],
    ids=[
        "nothing", "no-weights", "safetensors", "bin", "no-shards", "half-a-shard", "damaged-index",
        "index-without-shards", "index-of-another-format", "damaged-beside-another-format",
    ],
)  # fmt: skip
def test_weights_are_checked_in_the_format_that_is_loaded(
    tmp_path: Path, files: dict[str, bytes], found: str
) -> None:
    write(tmp_path, files)

    assert faulty(tmp_path) == found.split()


HEADER = len(WHOLE) - 4
LONGEST = (1 << 62).to_bytes(8, "little")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.safetensors", WHOLE, ""),
        ("a.safetensors", WHOLE[:-1], f"cut off: it has {HEADER + 3} of {HEADER + 4} bytes"),
        ("a.safetensors", WHOLE + b"x", f"{HEADER + 5} bytes instead of {HEADER + 4}"),
        ("a.safetensors", WHOLE[: HEADER // 2], "cut off within its header"),
        ("a.safetensors", WHOLE[:5], "no valid header"),
        ("a.safetensors", safetensors(), "no valid header"),
        ("a.safetensors", LONGEST + b"{}", "no valid header"),
        ("a.safetensors", b"\x02\0\0\0\0\0\0\0[]", "no valid header"),
        ("a.safetensors", b'\x09\0\0\0\0\0\0\0{"a": 1.}', "no valid header"),
        ("a.bin", pickle.dumps({"weight": 1.0}, protocol=2), ""),
        ("a.bin", b"weights", "not a file of torch"),
        ("a.bin", b"PK\x03\x04half of an archive", "the end of its archive is missing"),
        ("config.json", b"\xef\xbb\xbf" + CONFIG, ""),
        ("config.json", b"[]", "not a JSON object"),
        ("config.json", b'"text"', "not a JSON object"),
        ("config.json", ERROR_REPORT, "has no model_type"),
        ("config.json", b'{"model_type": "b', "not valid JSON"),
        ("preprocessor_config.json", ERROR_REPORT, "has no image_processor_type"),
        ("tokenizer.json", ERROR_REPORT, "has no model"),
        ("added_tokens.json", b"{}", ""),
        ("vocab.txt", b"\xff\xfe\x00", "not text in UTF-8"),
        ("vocab.txt", "[PAD]\nä\n".encode(), ""),
        ("spiece.model", b"\n\x0e\n\x05<unk>", ""),
        ("spiece.model", b"<html>", "a web page"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_words(
    tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    write(tmp_path, {name: data})

    found = find_damage(tmp_path / name)

    assert words in found
    assert bool(words) == bool(found)


def test_an_archive_of_torch_is_sound_until_its_end_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", bytes(10_000))

    assert find_damage(path) == ""
    path.write_bytes(path.read_bytes()[:5000])
    assert "cut off" in find_damage(path)


def test_weights_are_not_read_beyond_their_header(tmp_path: Path) -> None:
    size = 1 << 40  # more than could be read in the time of a test
    header = json.dumps({"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(file.tell() + size)

    assert find_damage(tmp_path / "model.safetensors") == ""


def test_of_many_faults_the_first_are_told(tmp_path: Path) -> None:
    said = describe(find_faults(tmp_path, needs_tokenizer=True))

    assert said.startswith("config.json is missing; model.safetensors is missing; ")
    assert said.endswith("; and 1 more")


@pytest.mark.parametrize(
    ("weights", "chosen"),
    [
        pytest.param("model.safetensors pytorch_model.bin", "model.safetensors", id="safetensors"),
        pytest.param("pytorch_model.bin flax_model.msgpack", "pytorch_model.bin", id="only-bin"),
        pytest.param(
            "model-1-of-1.safetensors model.safetensors.index.json pytorch_model.bin",
            "model-1-of-1.safetensors model.safetensors.index.json",
            id="shards",
        ),
        pytest.param(
            "pytorch_model-1-of-1.bin pytorch_model.bin.index.json",
            "pytorch_model-1-of-1.bin pytorch_model.bin.index.json",
            id="bin-shards",
        ),
        pytest.param(
            "model.safetensors model-1-of-1.safetensors model.safetensors.index.json",
            "model.safetensors",
            id="in-one-file-and-in-shards",
        ),
        pytest.param(
            "model-1-of-1.safetensors pytorch_model.bin",
            "pytorch_model.bin",
            id="shards-without-an-index",
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
