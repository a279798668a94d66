"""The page at ``/`` in a real browser, with real models: from a photo to what is said of it."""

import re

from playwright.sync_api import Locator, Page, expect

from tests.conftest import plain
from tests.integration.page import CAT, COFFEE, add, answer, choose, picture
from tests.stack import API, Stack

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


def test_the_state_of_each_worker_is_shown_and_where_flower_is(
    page: Page, page_stack: Stack
) -> None:
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
