"""What the hub keeps from us is told in a sentence that says what to do."""

from pathlib import Path

import pytest

from tests.hub_standin import HubStandIn
from tests.model_process import ModelProcess, Row
from tests.workers.model.fetching import CHECKPOINT, contents, fetch

REPO = "own/tiny"
ROW: Row = {"name": "tiny", "family": "vision_encoder_decoder", "source": REPO}


@pytest.fixture(autouse=True)
def _tokens(hub: HubStandIn) -> None:
    """Have a repository and three tokens."""
    hub.repos[REPO] = CHECKPOINT
    hub.access.tokens = {"hf_good", "hf_other", "hf_narrow"}
    hub.access.narrow = {"hf_narrow"}


def refused(model_process: ModelProcess, tmp_path: Path, token: str) -> str:
    """Return the sentence that a fetch ends with."""
    outcome = model_process.fetch(ROW, tmp_path, HF_TOKEN=token)
    assert outcome.error == "LoadError"
    assert "hf_" not in outcome.said
    assert contents(tmp_path) == {"tiny.lock": b""}
    return outcome.said


@pytest.mark.parametrize("kind", ["private", "gated"])
def test_a_token_opens_what_is_not_for_everyone(
    model_process: ModelProcess, tmp_path: Path, hub: HubStandIn, kind: str
) -> None:
    setattr(hub.access, kind, {REPO: {"hf_good"}})

    outcome = model_process.fetch(ROW, tmp_path, HF_TOKEN="hf_good")

    assert outcome.error == "", outcome
    assert contents(tmp_path / "tiny") == contents(CHECKPOINT)


def test_a_token_is_read_from_a_file(tmp_path: Path, hub: HubStandIn) -> None:
    hub.access.gated = {REPO: {"hf_good"}}
    secret = tmp_path / "secret"
    secret.write_text("hf_good\n")

    code, output = fetch(tmp_path, hub.url, "tiny", HF_TOKEN_PATH=str(secret))

    assert code == 0, output


def test_an_empty_file_is_no_token(tmp_path: Path, hub: HubStandIn) -> None:
    code, output = fetch(tmp_path, hub.url, "tiny", HF_TOKEN_PATH="/dev/null")

    assert code == 0, output


def test_a_licence_that_nobody_accepted_is_asked_for(
    model_process: ModelProcess, tmp_path: Path, hub: HubStandIn
) -> None:
    hub.access.gated = {REPO: {"hf_good"}}

    said = refused(model_process, tmp_path, "")

    assert said.startswith(
        f"The hub asks for a licence to be accepted: do so on {hub.url}/{REPO}, and put a token of "
        "that account in HF_TOKEN, or in the file that HF_TOKEN_PATH names (it says: Access to "
    )


def test_a_licence_that_another_account_accepted_is_asked_for(
    model_process: ModelProcess, tmp_path: Path, hub: HubStandIn
) -> None:
    hub.access.gated = {REPO: {"hf_good"}}

    said = refused(model_process, tmp_path, "hf_other")

    assert f"accept the licence on {hub.url}/{REPO} with the account of the token" in said
    assert "you are not in the authorized list" in said


def test_a_token_that_may_not_read_is_named(
    model_process: ModelProcess, tmp_path: Path, hub: HubStandIn
) -> None:
    said = refused(model_process, tmp_path, "hf_narrow")

    assert said.startswith(f"The hub does not let the token read {REPO}: check on {hub.url}/settin")


def test_a_token_that_the_hub_does_not_know_is_named(
    model_process: ModelProcess, tmp_path: Path, hub: HubStandIn
) -> None:
    said = refused(model_process, tmp_path, "hf_expired")

    assert said.startswith(
        f"The hub does not accept the token: make a new one on {hub.url}/settings/tokens, and put "
        "it in HF_TOKEN, or in the file that HF_TOKEN_PATH names (it says: Invalid credentials"
    )


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("", f"The hub knows no public {REPO}: check `source` in the row of tiny, and if the "),
        ("hf_other", f"The hub knows no {REPO} that the token may read: check `source` in the row"),
    ],
)
def test_a_repository_that_is_not_shown_is_named(
    model_process: ModelProcess, tmp_path: Path, hub: HubStandIn, token: str, said: str
) -> None:
    hub.access.private = {REPO: {"hf_good"}}

    assert refused(model_process, tmp_path, token).startswith(said)


def test_a_revision_that_is_not_there_is_named(
    model_process: ModelProcess, tmp_path: Path, hub: HubStandIn
) -> None:
    hub.tags.clear()

    said = refused(model_process, tmp_path, "")

    assert said.startswith(
        f"The hub has no revision 'main' of {REPO}: check `revision` in the row of tiny"
    )


def test_a_hub_that_has_trouble_is_told_from_one_that_refuses(
    model_process: ModelProcess, tmp_path: Path, hub: HubStandIn
) -> None:
    hub.broken = True

    said = refused(model_process, tmp_path, "")

    assert said.startswith(f"The hub answered 503 when asked for {REPO}: wait until it works again")
