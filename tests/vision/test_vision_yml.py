"""``vision doctor --vision-yml``: a PhotoPrism's file is asked for as PhotoPrism will."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from launcher.ports import LOOPBACK, free_port
from tests.stack import Stack
from tests.vision.command import succeeds
from tests.vision.diagnosis import doctor, has


@pytest.fixture(scope="module")
def url(stack: Stack, api: str) -> str:
    for model in ("fake", "opennsfw"):
        stack.worker(model)
    return api


def entry(url: str, kind: str, name: str, **more: object) -> dict[str, Any]:
    return {"Type": kind, "Name": name, "Service": {"Uri": f"{url}/api/v1/vision/{kind}"}, **more}


def checked(url: str, tmp_path: Path, said: dict[str, Any], *words: str, **more: str) -> list[str]:
    (tmp_path / "vision.yml").write_text(yaml.safe_dump(said))
    return doctor(url, "--no-machine", "--vision-yml", tmp_path / "vision.yml", *words, **more)


def test_the_vision_yml_that_is_written_here_is_right(url: str, tmp_path: Path) -> None:
    for door in ("vision", "ollama", "openai"):
        text = succeeds("config", "photoprism", "--model", "fake", "--door", door, "--url", url)
        found = checked(url, tmp_path, yaml.safe_load(text))
        assert not [line for line in found if "vision.yml" in line and not line.startswith("✔")]
        assert has(found, "✔", "vision.yml, caption", "fake answers")
        assert has(found, "✔", "vision.yml, nsfw", "Thresholds.NSFWIndex fits fake")


def test_names_addresses_and_thresholds_that_are_wrong_are_told(url: str, tmp_path: Path) -> None:
    labels = entry(url, "labels", "fake")
    labels["Service"]["Uri"] = f"{url}/api/v1/vision/caption"
    elsewhere = entry("http://no-such-host.invalid:5000", "caption", "fake")
    found = checked(
        url, tmp_path,
        {
            "Models": [
                entry(url, "caption", "nobody"), entry(url, "caption", "unserved"), labels,
                entry(url, "nsfw", "yahoo_open_nsfw"), elsewhere,
                entry(f"http://{LOOPBACK}:{free_port()}", "caption", "fake"),
            ],
            "Thresholds": {"NSFWIndex": 90},
        },
    )  # fmt: skip
    assert has(found, "✘", "vision.yml, caption", "There is no model 'nobody'")
    assert has(found, "✘", "vision.yml, caption", "No worker serves unserved")
    assert has(found, "✘", "vision.yml, labels", "is for something else", "/api/v1/vision/labels")
    assert has(found, "✔", "vision.yml, nsfw", "yahoo_open_nsfw answers")
    assert has(found, "⚠", "vision.yml, nsfw", "NSFWIndex is 90", "NSFWIndex: 33")
    assert has(found, "⚠", "vision.yml, nsfw", "NSFWUpload is not set")
    assert has(found, "⚠", "vision.yml, caption", "cannot be resolved from here")
    assert has(found, "✘", "vision.yml, caption", "cannot be reached")


def test_keys_of_entries_are_told(stack: Stack, tmp_path: Path) -> None:
    guarded = stack.api(VISION_API_KEYS="sesame")
    stack.worker("fake")
    keyless, right, wrong, variable = (entry(guarded, "caption", "fake") for _ in range(4))
    right["Service"]["Key"], wrong["Service"]["Key"] = "sesame", "no"
    variable["Service"]["Key"] = "${PHOTOPRISM_VISION_KEY}"
    for said, sign, words in (
        (keyless, "✘", "no Key of its own"), (right, "✔", "Key is accepted"),
        (wrong, "✘", "Key is not accepted"), (variable, "✔", "Key is accepted"),
    ):  # fmt: skip
        found = checked(guarded, tmp_path, {"Models": [said]}, "--key", "sesame")
        assert has(found, sign, "vision.yml, caption", words), found
    more = {"PHOTOPRISM_VISION_KEY": "no"}
    found = checked(guarded, tmp_path, {"Models": [variable]}, "--key", "sesame", **more)
    assert has(found, "✘", "vision.yml, caption", "Key is not accepted")


def test_the_variable_that_takes_faces_along_is_told(url: str, tmp_path: Path) -> None:
    said = {"Models": [entry(url, "labels", "fake")]}
    found = checked(url, tmp_path, said, PHOTOPRISM_VISION_URI=f"{url}/api/v1/vision")
    assert has(found, "✘", "PHOTOPRISM_VISION_URI", "no faces are recognised at all")
    assert has(found, "✘", "PHOTOPRISM_VISION_URI", "does not cover captions")


def test_a_broken_vision_yml_is_told(url: str, tmp_path: Path) -> None:
    (tmp_path / "broken.yml").write_text("Models: [")
    found = doctor(url, "--no-machine", "--vision-yml", tmp_path / "broken.yml")
    assert has(found, "✘", "vision.yml", "cannot be read")
    assert has(checked(url, tmp_path, {"Models": [{"Type": "nsfw"}]}), "✘", "no entry with a Uri")
    for address in ("127.0.0.1:5000", "http://127.0.0.1:abc", "http://[::1"):
        found = checked(url, tmp_path, {"Models": [entry(address, "labels", "fake")]})
        assert has(
            found, "✘", "vision.yml, labels", "is not an address", "http://NAME:5000/api/v1/"
        )
    said = {"Models": [entry(url, "nsfw", "fake")], "Thresholds": {"NSFWIndex": "33 %"}}
    found = checked(url, tmp_path, said)
    assert has(found, "✘", "vision.yml, nsfw", "NSFWIndex is not a number: '33 %'", "NSFWIndex: 50")
    assert has(found, "⚠", "vision.yml, nsfw", "NSFWUpload is not set")
