"""The page at ``/`` in a real browser, with real models: from a photo to what is said of it."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser, FilePayload, Locator, Page, expect

from tests.browser import opened, unreadable
from tests.conftest import plain
from tests.stack import API, SAMPLES, Stack, running_stack

MODELS = ("fake", "efficientnet-lite0", "opennsfw")
CAT, COFFEE = (
    FilePayload(name=name, mimeType="image/jpeg", buffer=(SAMPLES / name).read_bytes())
    for name in ("cat.jpg", "coffee.jpg")
)
DROP = """(bytes) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], "dropped.png", {type: "image/png"}));
  const at = document.querySelector("main");
  for (const type of ["dragover", "drop"])
    at.dispatchEvent(new DragEvent(type, {bubbles: true, cancelable: true, dataTransfer: data}));
}"""
COPY_PICTURE = """async (bytes) => {
  const png = new Blob([new Uint8Array(bytes)], {type: "image/png"});
  await navigator.clipboard.write([new ClipboardItem({"image/png": png})]);
}"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("page")) as running:
        running.ready_workers(MODELS)
        yield running


@pytest.fixture(scope="module")
def base(stack: Stack) -> str:
    return stack.api(VISION_URL_ALLOW="127.0.0.0/8", VISION_FLOWER_URL="http://127.0.0.1:5555")


@pytest.fixture
def page(browser: Browser, base: str) -> Iterator[Page]:
    with opened(browser, base, permissions=["clipboard-read", "clipboard-write"]) as page:
        yield page


def choose(page: Page, task: str, *models: str) -> None:
    """Select a task and these models only."""
    expect(page.get_by_role("checkbox").first).to_be_visible()  # the service has told its models
    page.get_by_role("radio", name=task, exact=True).check()
    for box in page.get_by_role("checkbox").all():
        box.set_checked(box.get_attribute("value") in models)


def answer(page: Page, model: str) -> Locator:
    """The answer of a model to the newest photo."""
    card = page.locator(".photo").first.get_by_role("group", name=f"{model} says", exact=True)
    expect(card).to_have_attribute("aria-busy", "false")
    return card


def add(page: Page, *photos: FilePayload) -> None:
    page.get_by_label("Choose photos").set_input_files(photos)


def picture(red: int, name: str = "red.png") -> FilePayload:
    return {"name": name, "mimeType": "image/png", "buffer": plain(red)}


def test_a_photo_gets_a_caption_labels_and_a_verdict_with_the_times(page: Page) -> None:
    expect(page.get_by_role("checkbox", name="opennsfw")).to_be_checked()
    add(page, CAT)
    labels = answer(page, "efficientnet-lite0")
    expect(labels.locator(".caption")).to_have_text("cat")
    expect(labels.get_by_role("listitem")).to_contain_text(["cat92 %animal"])
    verdict = answer(page, "opennsfw")
    expect(verdict).to_contain_text("Safe")
    expect(verdict).to_contain_text("NSFW score 0 %, unsafe from 33 %")
    for card in (labels, verdict):
        expect(card.locator(".times")).to_have_text(
            re.compile(r"\d ms queued\d+ ms decoding\d+ ms in the model")
        )
    assert page.locator(".blurred").count() == 0


def test_two_models_answer_side_by_side(page: Page) -> None:
    choose(page, "Labels", "efficientnet-lite0", "fake")
    add(page, COFFEE)
    known, fake = answer(page, "efficientnet-lite0"), answer(page, "fake")
    expect(known).to_contain_text("espresso")
    expect(known.locator(".chip")).to_have_text(["coffee", "drink"])
    expect(fake).to_contain_text("rgb")
    left, right = known.bounding_box(), fake.bounding_box()
    assert left is not None
    assert right is not None
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] < right["x"]


def test_a_prompt_is_sent_and_asked_again(page: Page) -> None:
    choose(page, "Caption", "fake")
    add(page, picture(7))
    expect(answer(page, "fake").locator(".caption")).to_have_text("rgb 7 0 0")
    page.get_by_text("Prompt and options").click()
    page.get_by_label("Prompt", exact=True).fill('say "<b>hi</b>"')
    page.get_by_role("button", name="Ask again").click()
    expect(answer(page, "fake").locator(".caption")).to_have_text('rgb 7 0 0 say "<b>hi</b>"')


def test_answers_from_right_to_left_are_shown_so(page: Page) -> None:
    said = "\u05d7\u05ea\u05d5\u05dc \u05e2\u05dc PhotoPrism 2026!"
    label = {"name": said, "confidence": 0.9, "categories": [said]}
    result = {"caption": {"text": said}, "labels": [label], "answer": {"text": said}}
    page.route(f"**{API}", lambda route: route.fulfill(json={"result": result}))
    page.get_by_text("Prompt and options").click()
    page.get_by_label("Prompt", exact=True).fill(said)
    choose(page, "Everything", "opennsfw")
    add(page, picture(1))
    answer(page, "opennsfw")
    for text in (".caption", ".name", ".chip", ".written", "#prompt"):
        assert style(page.locator(text).first, "direction") == "rtl", text
    assert style(page.locator(".number").first, "direction") == "ltr"


def test_an_unsafe_picture_is_blurred_until_a_click(page: Page) -> None:
    choose(page, "NSFW", "fake")
    add(page, picture(250))
    expect(answer(page, "fake")).to_contain_text("Not safe")
    seen = page.locator(".picture img")
    assert "blur" in style(seen, "filter")
    page.get_by_role("button", name="Show the picture").click()
    assert style(seen, "filter") == "none"
    page.get_by_role("button", name="Blur the picture").click()
    assert "blur" in style(seen, "filter")


def style(of: Locator, name: str) -> str:
    return str(of.evaluate("(node, name) => getComputedStyle(node)[name]", name))


def test_photos_may_be_dropped_and_pasted(page: Page) -> None:
    choose(page, "Caption", "fake")
    page.evaluate(DROP, list(plain(11)))
    expect(answer(page, "fake").locator(".caption")).to_have_text("rgb 11 0 0")
    page.evaluate(COPY_PICTURE, list(plain(12)))
    page.keyboard.press("Control+V")
    expect(page.locator(".photo")).to_have_count(2)
    expect(answer(page, "fake").locator(".caption")).to_have_text("rgb 12 0 0")


def test_the_service_fetches_a_photo_whose_address_is_typed_or_pasted(
    page: Page, photos: str
) -> None:
    choose(page, "Labels", "efficientnet-lite0")
    page.get_by_text("Prompt and options").click()
    page.get_by_label("Temperature").fill("0.5")
    page.get_by_label("Address of a photo").fill(f"{photos}/cat.jpg")
    with page.expect_request("**/labels") as asked:
        page.keyboard.press("Enter")
    assert '"temperature":0.5' in (asked.value.post_data or "")
    expect(answer(page, "efficientnet-lite0")).to_contain_text("cat")
    page.evaluate("text => navigator.clipboard.writeText(text)", f"{photos}/coffee.jpg")
    page.get_by_role("heading", name="Vision Workers").click()
    page.keyboard.press("Control+V")
    expect(page.locator(".photo")).to_have_count(2)
    expect(answer(page, "efficientnet-lite0")).to_contain_text("espresso")


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


def test_what_is_copied_for_photoprism_are_entries_of_its_vision_yml(page: Page, base: str) -> None:
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
            "Service": {"Uri": f"{base}{API}/{task}"},
        }
        for task in ("caption", "labels")
    ]
    choose(page, "NSFW", "opennsfw")
    page.get_by_role("button", name="Ask again").click()
    answer(page, "opennsfw")
    entries = yaml.safe_load(copied(page, "vision.yml"))
    assert [entry["Type"] for entry in entries["Models"]] == ["nsfw"]
    assert entries["Thresholds"] == {"NSFWIndex": 33, "NSFWUpload": 33}


def test_the_state_of_each_worker_is_shown_and_where_flower_is(page: Page, stack: Stack) -> None:
    status = page.get_by_role("region", name="State of the service")
    expect(status).to_contain_text("3 models ready · 3 workers · CPU · 0 queued")
    status.locator("summary").click()
    rows = status.get_by_role("listitem")
    expect(rows).to_have_count(3)
    fake = rows.filter(has_text="fake")
    expect(fake).to_contain_text("Recyclesnone")
    base = page.url
    page.request.post(f"{base}api/v1/vision/models/fake/recycle")
    expect(fake).to_contain_text(re.compile("Recycles1 . by an operator"))  # without a reload
    expect(status).to_contain_text("1 recycle")
    expect(status).to_contain_text("In the catalogue, not running: ")
    expect(page.get_by_role("link", name="Flower")).to_have_attribute(
        "href", "http://127.0.0.1:5555/"
    )


def test_removed_photos_leave_the_browser(page: Page) -> None:
    choose(page, "Caption", "fake")
    add(page, picture(1, "one.png"), picture(2, "two.png"))
    expect(page.locator(".answer[aria-busy=false]")).to_have_count(2)
    addresses = [image.get_attribute("src") for image in page.locator(".picture img").all()]
    page.get_by_role("button", name="Remove one.png").click()
    expect(page.get_by_role("button", name="Remove two.png")).to_be_focused()
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator(".photo")).to_have_count(0)
    loads = """address => new Promise(resolve => {
      const image = new Image();
      image.onload = () => resolve(true);
      image.onerror = () => resolve(false);
      image.src = address;
    })"""
    assert [page.evaluate(loads, address) for address in addresses] == [False, False]
    assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_axe_finds_nothing_that_people_could_not_use(
    browser: Browser, base: str, scheme: str
) -> None:
    with opened(browser, base, color_scheme=scheme) as page:
        page.get_by_role("region", name="State of the service").locator("summary").click()
        page.get_by_text("Prompt and options").click()
        choose(page, "Everything", *MODELS)
        add(page, picture(250), CAT, {"name": "a.txt", "mimeType": "text/plain", "buffer": b"a"})
        expect(page.locator(".answer[aria-busy=false]")).to_have_count(9)
        assert unreadable(page) == ""
        page.locator(".photo").nth(1).get_by_role("button", name="curl").first.click()
        expect(page.get_by_role("dialog")).to_be_visible()
        assert unreadable(page) == ""


@pytest.mark.parametrize(
    "width", [320, *(pytest.param(width, marks=pytest.mark.slow) for width in (390, 820, 1600))]
)
def test_nothing_is_wider_than_the_screen(browser: Browser, base: str, width: int) -> None:
    with opened(browser, base, viewport={"width": width, "height": 800}) as page:
        page.get_by_role("region", name="State of the service").locator("summary").click()
        choose(page, "Everything", *MODELS)
        add(page, COFFEE, picture(3, f"{'long' * 40}.png"))
        expect(page.locator(".answer[aria-busy=false]")).to_have_count(6)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_keyboard_alone_is_enough(browser: Browser, base: str) -> None:
    with opened(browser, base, reduced_motion="reduce") as page:
        # The browser learns late that Playwright wants its choosers: well before the key.
        page.on("filechooser", lambda chooser: chooser.set_files(CAT))
        expect(page.get_by_role("checkbox", name="fake")).to_be_visible()
        press_until(page, "Tab", "id", "files")
        page.keyboard.press("Enter")
        answer(page, "opennsfw")
        press_until(page, "Tab", "name", "task")
        press_until(page, "ArrowRight", "value", "labels")
        press_until(page, "Tab", "value", "fake")
        page.keyboard.press("Space")
        press_until(page, "Tab", "id", "again")
        page.keyboard.press("Enter")
        expect(answer(page, "fake")).to_contain_text("rgb")
        press_until(page, "Tab", "textContent", "curl")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        assert focused(page, "textContent") == "curl"
        moving = "document.getAnimations().filter(one => one.playState == 'running').length"
        assert page.evaluate(moving) == 0


def press_until(page: Page, key: str, name: str, value: str) -> None:
    """Press a key until the focused element has a property."""
    for _ in range(40):
        page.keyboard.press(key)
        if focused(page, name) == value:
            return
    raise AssertionError(value)


def focused(page: Page, name: str) -> Any:
    return page.evaluate("name => document.activeElement[name]", name)
