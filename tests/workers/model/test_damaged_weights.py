"""Damaged weights are fetched again, once, or it is said what is wrong with them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.damage import DAMAGES, LOGIN_PAGE
from tests.hub_standin import HubStandIn, blob_id, sha256
from tests.model_process import ModelProcess, Row
from tests.stack import TESTS
from workers.model.hub import DAMAGED_AGAIN_S, HubFile

CHECKPOINT = TESTS / "checkpoints" / "vit-gpt2"
ROW: Row = {"name": "tiny", "family": "vision_encoder_decoder", "source": "own/tiny"}
WEIGHTS = "model.safetensors"
WHOLE = (CHECKPOINT / WEIGHTS).read_bytes()
CHANGED = WHOLE[:-1] + bytes([WHOLE[-1] ^ 1])
"""As long as the weights, and with their header."""
ON_THE_WAY: dict[str, Callable[[bytes], bytes]] = {
    **DAMAGES,
    "other-contents": lambda data: data[:-1] + b"?",
}


@pytest.fixture
def repo(hub: HubStandIn, tmp_path: Path) -> Path:
    """The folder of ``own/tiny`` on the hub."""
    repo = Path(shutil.copytree(CHECKPOINT, tmp_path / "repo"))
    hub.repos["own/tiny"] = repo
    return repo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound folder that its owner put there."""
    return Path(shutil.copytree(CHECKPOINT, tmp_path / "models" / "tiny"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("damage", ON_THE_WAY)
@pytest.mark.parametrize(
    "file",
    [WEIGHTS, *(pytest.param(f, marks=pytest.mark.slow) for f in ("config.json", "vocab.json"))],
)
def test_what_arrives_damaged_is_asked_for_once_more(
    model_process: ModelProcess, hub: HubStandIn, repo: Path, tmp_path: Path, file: str, damage: str
) -> None:
    whole = (repo / file).read_bytes()
    hub.instead[file] = [ON_THE_WAY[damage](whole)]

    outcome = model_process.fetch(ROW, tmp_path / "models")

    assert outcome.error == ""
    assert contents(tmp_path / "models" / "tiny") == contents(repo)
    others = [name for name in hub.fetched() if name != file]
    assert sorted([*others, file]) == sorted(contents(repo))


@pytest.mark.parametrize("damage", ON_THE_WAY)
def test_what_arrives_damaged_again_is_refused_and_not_asked_for_all_the_time(
    model_process: ModelProcess, hub: HubStandIn, repo: Path, tmp_path: Path, damage: str
) -> None:
    hub.instead[WEIGHTS] = [ON_THE_WAY[damage](WHOLE)] * 10

    outcome = model_process.fetch(ROW, tmp_path / "models")

    assert f"A file of own/tiny arrives damaged: {WEIGHTS} has " in outcome.said
    assert outcome.retry_in_s == DAMAGED_AGAIN_S
    assert len(hub.instead[WEIGHTS]) == 8
    assert not (tmp_path / "models" / "tiny").exists()


def test_a_reply_that_ends_early_without_a_word_is_noticed(
    model_process: ModelProcess, hub: HubStandIn, repo: Path, tmp_path: Path
) -> None:
    hub.cuts_unnoticed[WEIGHTS] = 300_000

    outcome = model_process.fetch(ROW, tmp_path / "models")

    assert f"{WEIGHTS} has 300,000 bytes instead of {len(WHOLE):,}" in outcome.said
    assert outcome.retry_in_s == DAMAGED_AGAIN_S
    assert hub.fetched().count(WEIGHTS) == 2


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", [WEIGHTS, "config.json", "tokenizer.json"])
def test_a_damaged_file_is_fetched_again_and_no_other(
    model_process: ModelProcess,
    hub: HubStandIn,
    repo: Path,
    folder: Path,
    file: str,
    damage: str,
) -> None:
    (folder / "README.md").write_text("my notes")
    (folder / "merges.txt").unlink()  # its owner does without
    (folder / file).write_bytes(DAMAGES[damage](contents(repo)[file]))

    outcome = model_process.fetch(ROW, folder.parent)

    assert outcome.error == ""
    assert hub.fetched() == [file]
    expected = {**contents(repo), "README.md": b"my notes"}
    del expected["merges.txt"]
    assert contents(folder) == expected
    assert sorted(path.name for path in folder.parent.iterdir()) == ["tiny", "tiny.lock"]


def test_a_damaged_file_stays_until_its_replacement_is_there(
    model_process: ModelProcess, hub: HubStandIn, repo: Path, folder: Path
) -> None:
    (folder / WEIGHTS).write_bytes(WHOLE[:-1])
    hub.instead[WEIGHTS] = [CHANGED]

    outcome = model_process.fetch(ROW, folder.parent)

    assert outcome.said.startswith(f"{folder} cannot be used: {WEIGHTS} is cut off: it has ")
    assert f"arrives damaged: {WEIGHTS} has other contents than on the hub" in outcome.said
    assert outcome.retry_in_s == DAMAGED_AGAIN_S
    assert hub.fetched() == [WEIGHTS]
    assert (folder / WEIGHTS).read_bytes() == WHOLE[:-1]


def test_a_sound_folder_of_other_contents_is_left_alone(
    model_process: ModelProcess, hub: HubStandIn, repo: Path, folder: Path
) -> None:
    (folder / WEIGHTS).write_bytes(CHANGED)

    assert model_process.fetch(ROW, folder.parent).error == ""
    assert hub.requests == []
    assert (folder / WEIGHTS).read_bytes() == CHANGED


def test_a_folder_without_its_tokenizer_gets_one_and_keeps_the_rest(
    model_process: ModelProcess, hub: HubStandIn, repo: Path, folder: Path
) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"):
        (folder / name).unlink()
    (folder / WEIGHTS).write_bytes(CHANGED)

    assert model_process.fetch(ROW, folder.parent).error == ""
    assert contents(folder) == {**contents(repo), WEIGHTS: CHANGED}
    assert WEIGHTS not in hub.fetched()


def test_weights_in_another_format_than_the_hubs_are_not_fetched_beside_good_ones(
    model_process: ModelProcess, hub: HubStandIn, repo: Path, folder: Path
) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02")
    (folder / "config.json").unlink()

    assert model_process.fetch(ROW, folder.parent).error == ""
    assert hub.fetched() == ["config.json"]


def test_damaged_weights_in_another_format_are_replaced_by_the_hubs(
    model_process: ModelProcess, hub: HubStandIn, repo: Path, folder: Path
) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").write_bytes(LOGIN_PAGE)

    assert model_process.fetch(ROW, folder.parent).error == ""
    assert hub.fetched() == [WEIGHTS]


@pytest.mark.parametrize("damage", ["empty", "git-lfs-pointer", "half"])
def test_a_repository_that_is_damaged_itself_is_named_and_not_asked_again(
    model_process: ModelProcess, hub: HubStandIn, repo: Path, tmp_path: Path, damage: str
) -> None:
    (repo / WEIGHTS).write_bytes(DAMAGES[damage](WHOLE))

    first = model_process.fetch(ROW, tmp_path / "models")
    fetched = len(hub.fetched())
    second = model_process.fetch(ROW, tmp_path / "models")

    assert f"What own/tiny holds is not enough: {WEIGHTS} is " in first.said
    assert "It is the same in own/tiny: choose another source or revision." in second.said
    assert len(hub.fetched()) == fetched


def test_a_repository_without_a_tokenizer_is_named(
    model_process: ModelProcess, hub: HubStandIn, repo: Path, tmp_path: Path
) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"):
        (repo / name).unlink()

    outcome = model_process.fetch(ROW, tmp_path / "models")

    assert "What own/tiny holds is not enough: tokenizer.json is missing" in outcome.said


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", sorted(contents(CHECKPOINT)))
def test_without_the_hub_it_is_said_what_is_damaged_and_why_it_is_not_fetched(
    model_process: ModelProcess, folder: Path, file: str, damage: str
) -> None:
    (folder / file).write_bytes(DAMAGES[damage](contents(CHECKPOINT)[file]))

    outcome = model_process.fetch(ROW, folder.parent)

    if file in ("vocab.json", "merges.txt"):  # not read beside tokenizer.json
        assert outcome.error == ""
    else:
        assert outcome.said.startswith(f"{folder} cannot be used: {file} is ")
        assert "The hub knows no public own/tiny: " in outcome.said
        assert outcome.retry_in_s == 0


def test_a_login_page_in_the_place_of_the_hub_is_named(
    model_process: ModelProcess, hub: HubStandIn, tmp_path: Path
) -> None:
    hub.portal = True

    outcome = model_process.fetch(ROW, tmp_path / "models")

    assert outcome.said == (
        "What answered for own/tiny is not the hub; it may be the login page of a proxy."
    )


def test_a_link_that_leads_nowhere_is_a_missing_file(
    model_process: ModelProcess, folder: Path
) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("gone")

    outcome = model_process.fetch(ROW, folder.parent)

    assert f"{folder} cannot be used: config.json is missing. " in outcome.said


def test_a_folder_that_cannot_be_read_is_named(model_process: ModelProcess, tmp_path: Path) -> None:
    outcome = model_process.fetch({**ROW, "folder": "x" * 300}, tmp_path)

    assert f"{tmp_path}/xxx" in outcome.said
    assert "cannot be read: [Errno" in outcome.said


@pytest.mark.parametrize(
    ("remote", "difference"),
    [
        (HubFile(3, sha256(b"cat"), None), ""),
        (HubFile(3, None, blob_id(b"cat")), ""),
        (HubFile(None, None, None), ""),
        (HubFile(4, None, None), "has 3 bytes instead of 4"),
        (HubFile(None, sha256(b"dog"), None), "has other contents than on the hub"),
        (HubFile(3, None, blob_id(b"dog")), "has other contents than on the hub"),
    ],
)
def test_a_file_is_compared_with_all_that_the_hub_says_of_it(
    tmp_path: Path, remote: HubFile, difference: str
) -> None:
    (tmp_path / "file").write_bytes(b"cat")

    assert remote.difference(tmp_path / "file") == difference
    assert remote.difference(tmp_path / "gone") == "did not arrive"
    assert remote.is_same(tmp_path / "file") == (not difference and any(remote[1:]))


def test_a_source_that_is_no_name_of_a_repository_is_named(
    model_process: ModelProcess, tmp_path: Path
) -> None:
    outcome = model_process.fetch({**ROW, "source": "not/a/name"}, tmp_path)

    assert outcome.said.startswith("`source` in the row of tiny names no repository: ")
