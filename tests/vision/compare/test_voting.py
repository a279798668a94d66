"""The report in a real browser, as a file: blind votes by mouse and keyboard, kept and told."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser, Page, expect

from tests.browser import opened, unreadable
from tests.vision.compare.reports import BAD, COLOURS, GOOD, HOSTILE, comparison
from tests.vision.compare.standings import figures, trial
from vision.compare.report.document import document, winning_entries

pytestmark = pytest.mark.slow
NAMES = re.compile("keen|dull")
BALLOTS = 4
"""Of five photos there is one for which both say the same."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    (folder / "report.html").write_text(document(comparison()), encoding="utf-8")
    return folder.as_uri()


@pytest.fixture
def page(browser: Browser, folder: str) -> Iterator[Page]:
    with opened(browser, folder, "/report.html", accept_downloads=True) as page:
        yield page


def options(page: Page) -> list[str]:
    """What is said of the photo at hand, in the order of the cards."""
    return page.locator(".option .said").all_inner_texts()


def shown(page: Page) -> str:
    """The name of the photo that is voted on."""
    return page.locator("#ballot-photo figcaption").inner_text()


def place_of(page: Page, texts: tuple[str, ...]) -> int:
    """Which card has one of these answers, from 0 on."""
    return next(number for number, text in enumerate(options(page)) if text in texts)


def kept(page: Page) -> Any:
    return page.evaluate(
        "Object.entries(localStorage).map(([key, value]) => [key, JSON.parse(value)])"
    )


def entries(page: Page) -> Any:
    return yaml.safe_load(page.locator("#yml").inner_text())["Models"]


def test_names_are_hidden_until_the_votes_are_unveiled(page: Page) -> None:
    vote = page.get_by_role("region", name="Vote blind")
    expect(vote).to_contain_text("Photo 1 of 4 · 0 voted")
    expect(vote).not_to_contain_text(NAMES)
    page.get_by_role("button", name="A is best").click()
    page.get_by_role("button", name="Unveil the votes").click()
    expect(vote.locator(".names").first).to_be_visible()
    expect(vote.locator(".names")).to_have_text([NAMES, NAMES])
    expect(page.get_by_role("button", name="None is right")).to_be_disabled()
    page.get_by_role("button", name="Hide the names again").click()
    expect(vote.locator(".names")).to_have_count(0)


def test_the_order_is_shuffled_for_each_voter_and_photo_and_then_stays(
    browser: Browser, folder: str
) -> None:
    def is_keen_first(page: Page) -> list[bool]:
        found = []
        for _ in range(BALLOTS):
            page.keyboard.press("ArrowLeft")
        for _ in range(BALLOTS):
            found.append(place_of(page, GOOD) == 0)
            page.keyboard.press("ArrowRight")
        return found

    seen: list[list[bool]] = []
    while len({first for order in seen for first in order}) < 2 or len(set(map(tuple, seen))) < 2:
        with opened(browser, folder, "/report.html") as page:
            page.get_by_role("button", name="A is best").click()  # from then on something is kept
            seen.append(is_keen_first(page))
            page.reload()
            page.locator("#vote").focus()
            assert is_keen_first(page) == seen[-1]


def test_votes_by_mouse_count_survive_a_reload_and_choose_the_winner(page: Page) -> None:
    by_rule = yaml.safe_load(winning_entries(comparison()).text())["Models"]
    assert entries(page) == by_rule
    for vote in range(BALLOTS):
        texts = GOOD if vote == 0 else BAD
        page.locator(".option").nth(place_of(page, texts)).click(position={"x": 300, "y": 10})
    expect(page.locator("#place")).to_have_text("Photo 4 of 4 · 4 voted")
    expect(page.locator("#yml")).to_be_hidden()  # it would name the winner
    page.reload()
    expect(page.locator("#place")).to_contain_text("4 voted")
    page.get_by_role("button", name="Unveil the votes").click()
    tally = page.locator("#tally table").first.get_by_role("row")
    expect(tally).to_have_text(
        ["ContestantBestOf the votes for somebody", "dull375 %", "keen125 %"]
    )
    expect(page.locator("#tally")).to_contain_text("The lead may be chance")
    expect(page.locator("#winner")).to_have_text(
        "dull for captions, by your votes; keen for labels, by the rule."
    )
    assert [entry["Name"] for entry in entries(page)] == ["dull", "keen"]


def test_votes_by_keyboard_alone(page: Page) -> None:
    while not page.evaluate("document.activeElement.closest('#vote') != null"):
        page.keyboard.press("Tab")
    first = shown(page)
    page.keyboard.press(str(1 + place_of(page, GOOD)))
    expect(page.locator("#place")).to_contain_text("Photo 2 of 4 · 1 voted")
    expect(page.locator("#place")).to_be_focused()
    page.keyboard.press("0")
    page.keyboard.press("=")
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("button", name="Equally good")).to_have_attribute(
        "aria-pressed", "true"
    )
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert shown(page) == first
    expect(
        page.locator(".option").nth(place_of(page, GOOD)).get_by_role("button")
    ).to_have_attribute("aria-pressed", "true")
    page.keyboard.press(str(1 + place_of(page, BAD)))  # and changes the vote
    ((_, saved),) = kept(page)
    assert sorted(map(str, saved["votes"]["caption"].values())) == ["[1]", "equal", "none"]


def test_keys_elsewhere_are_no_votes(page: Page) -> None:
    page.get_by_label("Photos in the library").focus()
    page.keyboard.press("1")
    page.locator("#answers summary").focus()
    page.keyboard.press("1")
    assert kept(page) == []


def test_labels_are_voted_on_by_themselves(page: Page) -> None:
    page.get_by_role("radio", name="Labels").check()
    expect(page.locator("#place")).to_have_text("Photo 1 of 5 · 0 voted")
    page.get_by_role("button", name="B is best").click()
    page.get_by_role("radio", name="Captions").check()
    expect(page.locator("#place")).to_have_text("Photo 1 of 4 · 0 voted")


def test_votes_are_saved_as_json_and_deleted(page: Page, tmp_path: Path) -> None:
    photo, place = shown(page), place_of(page, GOOD)
    page.get_by_role("button", name=f"{'AB'[place]} is best").click()
    page.get_by_role("button", name="None is right").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the votes as JSON").click()
    download.value.save_as(tmp_path / "votes.json")
    saved = json.loads((tmp_path / "votes.json").read_text())
    assert saved["tally"]["caption"] == {
        "wins": {"dull": 0, "keen": 1}, "none": 1, "equal": 0, "decided": 1,
    }  # fmt: skip
    assert {"task": "caption", "photo": photo, "best": ["keen"]} in saved["votes"]
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete the votes").click()
    expect(page.locator("#place")).to_have_text("Photo 1 of 4 · 0 voted")
    ((_, left),) = kept(page)
    assert left["votes"] == {}


def test_hours_follow_the_size_of_the_library(page: Page) -> None:
    hours = page.get_by_role("row", name="Hours").first.get_by_role("cell")
    expect(hours).to_have_text(["4.0", "1.0"])  # 7200 photos at 1800 and 7200 per hour
    page.get_by_label("Photos in the library").fill("36000")
    expect(hours).to_have_text(["20.0", "5.0"])


def test_unsafe_photos_are_blurred_until_a_click(browser: Browser, tmp_path: Path) -> None:
    said = [[{"status": status, "score": 0.5}] for status in ("unsafe", *["safe"] * 4)]
    contests = comparison().contests | {"nsfw": figures(trial("judge", "nsfw", said))}
    (tmp_path / "a.html").write_text(document(comparison(contests=contests)))
    with opened(browser, tmp_path.as_uri(), "/a.html") as page:
        page.locator("#answers > summary").click()
        unsafe = page.locator("#photo-0 img")
        blur = "node => getComputedStyle(node).filter"
        assert "blur" in unsafe.evaluate(blur)
        page.locator("#photo-0").get_by_label("Show the picture").check()
        assert unsafe.evaluate(blur) == "none"


def test_nothing_that_is_said_becomes_part_of_the_page(browser: Browser, tmp_path: Path) -> None:
    hostile = comparison(names=HOSTILE, captions=HOSTILE)
    (tmp_path / "a.html").write_text(document(hostile), encoding="utf-8")
    with opened(browser, tmp_path.as_uri(), "/a.html") as page:
        page.locator("#answers > summary").click()
        for text in HOSTILE[:3]:
            expect(page.locator("#answers").get_by_text(text, exact=True).first).to_be_visible()
        for _ in HOSTILE:
            page.get_by_role("button", name="A is best").click()
        page.get_by_role("button", name="Unveil the votes").click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_that_people_could_not_use(
    browser: Browser, folder: str, scheme: str
) -> None:
    with opened(browser, folder, "/report.html", color_scheme=scheme) as page:
        page.locator("#answers > summary").click()
        page.get_by_text("What the figures mean").click()
        assert unreadable(page) == ""
        page.get_by_role("button", name="A is best").click()
        page.get_by_role("button", name="Unveil the votes").click()
        assert unreadable(page) == ""


@pytest.mark.parametrize("width", [320, 820, 1600])
def test_nothing_is_wider_than_the_screen(browser: Browser, tmp_path: Path, width: int) -> None:
    long = comparison(
        names=["long" * 60 + f"{n}.jpg" for n in range(5)], captions=["word" * 40] * 5
    )
    (tmp_path / "a.html").write_text(document(long))
    with opened(
        browser, tmp_path.as_uri(), "/a.html", viewport={"width": width, "height": 800}
    ) as page:
        page.locator("#answers > summary").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_javascript_everything_but_voting_is_there(browser: Browser, folder: str) -> None:
    with opened(browser, folder, "/report.html", java_script_enabled=False) as page:
        expect(page.get_by_text("Voting needs JavaScript")).to_be_visible()
        expect(page.locator("#vote")).to_be_hidden()
        expect(page.locator("#winner")).to_contain_text("keen for captions, keen for labels")
        page.locator("#answers > summary").click()
        expect(page.locator("#photo-0 .caption")).to_have_text([GOOD[0], BAD[0]], ignore_case=True)
        assert len(COLOURS) == page.locator("article").count()
