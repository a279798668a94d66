"""Whatever is damaged in a checkpoint: the model answers rightly, or says which file it is.

Each test starts a model as a model process does: its folder is checked and mended, it is loaded,
and it has to answer a test picture.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import shape
from tests.damage import DAMAGES
from tests.hub_standin import HubStandIn
from tests.model_process import ModelProcess, Row
from tests.stack import TESTS

CHECKPOINTS = TESTS / "checkpoints"
ROWS: dict[str, Row] = {
    "blip": {"family": "blip", "parameters": {"max_new_tokens": 16}},
    "kosmos-2": {"family": "kosmos2", "parameters": {"max_new_tokens": 32}},
    "vit-gpt2": {"family": "vision_encoder_decoder"},
    "vit-classifier": {"family": "image_classification"},
}
ANSWERS = {name: "red circle" if name == "vit-classifier" else "a red circle" for name in ROWS}
FILES = [(name, path.name) for name in ROWS for path in sorted((CHECKPOINTS / name).iterdir())]
NOT_READ = ("vocab.txt", "vocab.json", "merges.txt")
"""Where there is a ``tokenizer.json``."""
QUICK = (
    ("blip", "config.json", "empty"),
    ("blip", "tokenizer_config.json", "zeros"),
    ("blip", "vocab.txt", "git-lfs-pointer"),
    ("kosmos-2", "model.safetensors", "half"),
    ("kosmos-2", "tokenizer.json", "login-page"),
    ("vit-gpt2", "generation_config.json", "half"),
    ("vit-classifier", "preprocessor_config.json", "login-page"),
)
CASES = [
    pytest.param(*case, id="-".join(case), marks=() if case in QUICK else pytest.mark.slow)
    for case in ((name, file, damage) for name, file in FILES for damage in DAMAGES)
]
RED_CIRCLE = shape("red", "circle")


def row(name: str) -> Row:
    return {"name": name, "source": f"own/{name}", **ROWS[name]}


def copy(name: str, to: Path) -> Path:
    return Path(shutil.copytree(CHECKPOINTS / name, to / name))


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(("name", "file", "damage"), CASES)
def test_a_damaged_checkpoint_is_mended_and_answers_rightly(
    model_process: ModelProcess, hub: HubStandIn, tmp_path: Path, name: str, file: str, damage: str
) -> None:
    hub.repos[f"own/{name}"] = CHECKPOINTS / name
    folder = copy(name, tmp_path)
    (folder / file).write_bytes(DAMAGES[damage]((folder / file).read_bytes()))

    outcome = model_process.start(row(name), tmp_path, RED_CIRCLE)

    assert outcome == (ANSWERS[name], "", 0.0)
    assert hub.fetched() == ([] if file in NOT_READ else [file])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "file"), FILES)
def test_a_checkpoint_in_which_a_file_is_missing_answers_rightly(
    model_process: ModelProcess, hub: HubStandIn, tmp_path: Path, name: str, file: str
) -> None:
    hub.repos[f"own/{name}"] = CHECKPOINTS / name
    (copy(name, tmp_path) / file).unlink()

    assert model_process.start(row(name), tmp_path, RED_CIRCLE) == (ANSWERS[name], "", 0.0)


@pytest.mark.parametrize(
    ("name", "removed", "words"),
    [
        ("blip", "tokenizer.json tokenizer_config.json vocab.txt", "tokenizer.json is missing"),
        ("kosmos-2", "tokenizer.json", "tokenizer.json is missing"),
        ("kosmos-2", "tokenizer_config.json", "not there are processor_config.json, tokenizer_con"),
        (
            "vit-gpt2",
            "tokenizer.json tokenizer_config.json",
            "There are preprocessor_config.json, ",
        ),
        ("vit-classifier", "preprocessor_config.json", "preprocessor_config.json is missing"),
    ],
)
def test_a_checkpoint_that_cannot_be_completed_says_what_it_lacks(
    model_process: ModelProcess, tmp_path: Path, name: str, removed: str, words: str
) -> None:
    folder = copy(name, tmp_path)
    for file in removed.split():
        (folder / file).unlink()

    outcome = model_process.start(row(name), tmp_path, RED_CIRCLE)

    assert outcome.error in ("LoadError", "PartDamaged")
    assert words in outcome.said


def half_a_vocabulary(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    vocabulary = (folder / "vocab.txt").read_bytes()
    (folder / "vocab.txt").write_bytes(vocabulary[: len(vocabulary) // 2])


def no_words(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")


def every_second_token(folder: Path) -> None:
    def thin_out(content: dict[str, Any]) -> None:
        vocabulary = content["model"]["vocab"]
        content["model"]["vocab"] = {
            token: index
            for token, index in vocabulary.items()
            if token.startswith("[") or index % 2
        }

    change(folder / "tokenizer.json", thin_out)


def no_words_for_its_ids(folder: Path) -> None:
    """As many tokens as the model has, none of which is a word."""

    def rename(content: dict[str, Any]) -> None:
        vocabulary = content["model"]["vocab"]
        content["model"]["vocab"] = {
            token if token.startswith("[") else f"##{'#' * number}": number
            for token, number in vocabulary.items()
        }

    change(folder / "tokenizer.json", rename)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (half_a_vocabulary, "of the 126 tokens"),
        (no_words, "of the 126 tokens"),
        (every_second_token, "of the 126 tokens"),
        (no_words_for_its_ids, "does not give the words of a sentence back"),
    ],
)
def test_a_tokenizer_must_encode_and_decode(
    model_process: ModelProcess,
    hub: HubStandIn,
    tmp_path: Path,
    damage: Callable[[Path], None],
    words: str,
) -> None:
    damage(copy("blip", tmp_path))
    has_json = (tmp_path / "blip" / "tokenizer.json").exists()

    outcome = model_process.start(row("blip"), tmp_path, RED_CIRCLE)

    assert words in outcome.said
    assert f"{tmp_path}/blip/{'tokenizer.json' if has_json else 'vocab.txt'}" in outcome.said
    assert "The hub knows no public own/blip" in outcome.said

    hub.repos["own/blip"] = CHECKPOINTS / "blip"
    assert model_process.start(row("blip"), tmp_path, RED_CIRCLE).said == "a red circle"
    assert set(hub.fetched()) <= {"tokenizer.json", "vocab.txt"}


def all_zeros(folder: Path) -> None:
    """The file is as long as it must be, but only its beginning was written."""
    path = folder / "model.safetensors"
    data = path.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    path.write_bytes(data[:header] + bytes(len(data) - header))


@pytest.mark.parametrize("name", ["blip", "kosmos-2", "vit-gpt2"])
def test_a_captioner_that_has_no_words_is_not_ready(
    model_process: ModelProcess, hub: HubStandIn, tmp_path: Path, name: str
) -> None:
    hub.repos[f"own/{name}"] = CHECKPOINTS / name
    folder = copy(name, tmp_path)
    all_zeros(folder)
    before = (folder / "model.safetensors").read_bytes()

    outcome = model_process.start(row(name), tmp_path, RED_CIRCLE)

    assert f"{name} answered the test pictures with no words" in outcome.said
    assert f"Delete {folder} to have them fetched again" in outcome.said
    assert hub.fetched() == []
    assert (folder / "model.safetensors").read_bytes() == before


def fewer_classes(config: dict[str, Any]) -> None:
    del config["id2label"]["31"]


def a_gap(config: dict[str, Any]) -> None:
    config["id2label"]["40"] = config["id2label"].pop("3")


def other_number(config: dict[str, Any]) -> None:
    del config["id2label"]["31"]
    config["num_labels"] = 32


def no_names(config: dict[str, Any]) -> None:
    del config["id2label"], config["label2id"]


def no_names_but_their_number(config: dict[str, Any]) -> None:
    no_names(config)
    config["num_labels"] = 32


def names_without_numbers(config: dict[str, Any]) -> None:
    config["id2label"] = list(config["id2label"].values())


@pytest.mark.parametrize(
    "edit",
    [
        fewer_classes,
        a_gap,
        other_number,
        no_names,
        no_names_but_their_number,
        names_without_numbers,
    ],
)
def test_a_classifier_must_name_as_many_classes_as_it_has(
    model_process: ModelProcess, tmp_path: Path, edit: Callable[[dict[str, Any]], None]
) -> None:
    change(copy("vit-classifier", tmp_path) / "config.json", edit)

    outcome = model_process.start(row("vit-classifier"), tmp_path, RED_CIRCLE)

    assert outcome.error == "LoadError"
    assert "config.json" in outcome.said
    assert f"{tmp_path}/vit-classifier" in outcome.said


@pytest.mark.parametrize(
    ("name", "file", "content", "words"),
    [
        ("vit-gpt2", "config.json", '{"model_type": "no-such"}', "`no-such`"),
        ("vit-gpt2", "generation_config.json", "{}", "generation_config.json, "),
        (
            "blip",
            "preprocessor_config.json",
            '{"size": {"height": 48, "width": 48}}',
            "test picture",
        ),
        ("blip", "tokenizer.json", '{"model": {"type": "BPE"}}', "tokenizer.json"),
        ("blip", "tokenizer_config.json", '{"tokenizer_class": "NoSuch"}', "a red circle"),
        ("kosmos-2", "tokenizer_config.json", "{}", "tokenizer_config.json"),
    ],
)
def test_files_that_are_sound_but_wrong_end_in_a_sentence_too(
    model_process: ModelProcess, tmp_path: Path, name: str, file: str, content: str, words: str
) -> None:
    (copy(name, tmp_path) / file).write_text(content)

    outcome = model_process.start(row(name), tmp_path, RED_CIRCLE)

    assert outcome.error in ("", "LoadError", "PartDamaged")
    assert words in outcome.said


def test_weights_of_another_model_are_refused(model_process: ModelProcess, tmp_path: Path) -> None:
    folder = copy("vit-gpt2", tmp_path)
    shutil.copy(CHECKPOINTS / "blip" / "model.safetensors", folder)

    outcome = model_process.start(row("vit-gpt2"), tmp_path, RED_CIRCLE)

    assert f"The weights and config.json in {folder} do not go together" in outcome.said
