"""What the page gives people to copy works elsewhere: commands, code, entries for PhotoPrism."""

import json
import subprocess
import sys
from pathlib import Path

import yaml
from playwright.sync_api import Page, expect

from tests.conftest import plain
from tests.integration.page import CAT, add, answer, choose, picture
from tests.stack import API


def test_what_is_copied_as_code_gives_the_same_answer(page: Page, tmp_path: Path) -> None:
    choose(page, "Labels", "fake")
    page.get_by_text("Prompt and options").click()
    page.get_by_label("Prompt", exact=True).fill("it's @odd \"; $HOME\n")
    page.get_by_label("Seed").fill("3")
    name = 'it\'s 1; "odd".png'
    add(page, picture(9, name))
    said = answer(page, "fake").locator(".name").inner_text()
    assert said == "rgb 9 0 0 it's @odd \"; $HOME"
    (tmp_path / name).write_bytes(plain(9))
    reply = json.loads(run(tmp_path, "bash", "-c", copied(page, "curl")))
    assert reply["result"]["labels"][0]["name"] == said
    printed = run(tmp_path, sys.executable, "-c", copied(page, "Python"))
    assert repr(said) in printed


def copied(page: Page, kind: str) -> str:
    """Return what the clipboard has after a person has copied the newest answer in a form."""
    page.locator(".photo").first.get_by_role("button", name=kind, exact=True).first.click()
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    page.keyboard.press("Escape")
    return str(page.evaluate("navigator.clipboard.readText()"))


def run(folder: Path, *argv: str) -> str:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_copied_for_photoprism_are_entries_of_its_vision_yml(
    page: Page, page_base: str
) -> None:
    page.get_by_text("Prompt and options").click()
    page.get_by_label("Prompt", exact=True).fill("Be brief: yes")
    choose(page, "Everything", "opennsfw", "efficientnet-lite0")
    add(page, CAT)
    answer(page, "opennsfw")
    answer(page, "efficientnet-lite0")
    page.get_by_label("Prompt", exact=True).fill("")  # what was asked counts, not what would be
    entries = yaml.safe_load(copied(page, "vision.yml"))
    assert entries["Models"] == [
        {
            "Type": task,
            "Name": "efficientnet-lite0",
            "Prompt": "Be brief: yes",
            "Service": {"Uri": f"{page_base}{API}/{task}"},
        }
        for task in ("caption", "labels")
    ]
    choose(page, "NSFW", "opennsfw")
    page.get_by_role("button", name="Ask again").click()
    answer(page, "opennsfw")
    entries = yaml.safe_load(copied(page, "vision.yml"))
    assert [entry["Type"] for entry in entries["Models"]] == ["nsfw"]
    assert entries["Thresholds"] == {"NSFWIndex": 33, "NSFWUpload": 33}
