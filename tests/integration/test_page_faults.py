"""What the page says and does when something is wrong, with real faults of a real service."""

import io
from collections.abc import Iterator

import pytest
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Locator, Page, Request, expect

from tests.browser import opened, unreadable
from tests.conftest import plain
from tests.integration.client import full_queue, post
from tests.stack import API, SAMPLES, Stack, end, running_stack

KEY = "schlüssel=="
MODELS = f"**{API}/models"
SHOW = """(state) => {
  Object.defineProperty(document, "hidden", {value: state === "hidden", configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("faults")
    with running_stack(folder, VISION_MODELS="fake", VISION_RESTART_GRACE_S="1") as running:
        running.worker("fake")
        yield running


@pytest.fixture(scope="module")
def base(stack: Stack) -> str:
    return stack.api()


def payload(content: bytes, name: str = "a.png", kind: str = "image/png") -> FilePayload:
    return {"name": name, "mimeType": kind, "buffer": content}


def add(page: Page, content: bytes, name: str = "a.png", kind: str = "image/png") -> Locator:
    """Add a photo and return the first answer to it."""
    page.get_by_label("Choose photos").set_input_files(payload(content, name, kind))
    return page.locator(".answer").first


def is_ready(page: Page) -> None:
    expect(page.get_by_role("checkbox", name="fake")).to_be_checked()


def requests_of(page: Page) -> list[Request]:
    """Return a list that will have each request of the page."""
    seen = list[Request]()

    def note(request: Request) -> None:
        seen.append(request)

    page.on("request", note)
    return seen


def freeze_state(page: Page) -> None:
    """Have the page see the service as it is now, so that it asks a worker that has just ended."""
    seen = page.request.get(f"{page.url}api/v1/vision/models").body()
    page.route(MODELS, lambda route: route.fulfill(body=seen, content_type="application/json"))


@pytest.mark.slow
def test_without_a_model_it_says_what_to_do_and_goes_on_when_there_is_one(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with running_stack(tmp_path_factory.mktemp("empty"), VISION_MODELS="fake") as stack:
        base = stack.api()
        with opened(browser, base) as page:
            notice = page.get_by_role("status")
            expect(notice).to_contain_text("No worker serves a model.")
            expect(notice).to_contain_text("make run")
            expect(page.locator("#no-model")).to_contain_text("No model that runs here does this.")
            assert unreadable(page) == ""
            add(page, plain(5))
            expect(page.get_by_role("alert").last).to_have_text("Choose a model.")
            stack.worker("broken")
            expect(notice).to_contain_text("broken cannot be loaded.")
            expect(notice).to_contain_text("the weights are corrupt")
            stack.worker("fake")
            expect(notice).to_be_empty()
            page.get_by_role("button", name="Ask again").click()
            expect(page.locator(".answer")).to_contain_text("rgb 5 0 0")


@pytest.mark.slow
def test_a_request_that_no_worker_takes_fails_alone_and_can_be_repeated(
    browser: Browser, stack: Stack
) -> None:
    with opened(browser, stack.api()) as page:
        worker = stack.another_worker("unserved")
        stack.wait_ready("unserved")
        page.get_by_role("checkbox", name="unserved").check()
        page.get_by_role("checkbox", name="fake").uncheck()
        freeze_state(page)
        end(worker)
        card = add(page, plain(6))
        expect(card).to_contain_text("No worker can answer now.")
        expect(card).to_contain_text("No worker serves unserved")
        stack.worker("unserved")
        card.get_by_role("button", name="Try again").click()
        expect(card).to_be_focused()
        expect(card).to_contain_text("rgb 6 0 0")


@pytest.mark.slow
def test_a_busy_service_is_asked_again_when_it_says_and_meanwhile_the_page_says_so(
    browser: Browser, stack: Stack
) -> None:
    stack.worker("narrow")
    base = stack.api(before="import shared.errors as e; e.Overloaded.retry_after_s = 2")
    with opened(browser, base) as page:
        is_ready(page)
        page.get_by_role("checkbox", name="fake").uncheck()
        page.get_by_role("checkbox", name="narrow").check()
        with full_queue(stack, lambda: post(f"{base}{API}/caption/narrow")) as others:
            card = add(page, plain(4))
            expect(card).to_contain_text("The service is busy. Asking again in 2 s.")
            expect(page.locator("#spoken")).to_contain_text("asked again in 2 seconds")
        expect(card).to_contain_text("rgb 4 0 0")
        assert [other.result().status_code for other in others] == [200] * 3


def test_what_is_no_photo_is_refused_in_the_services_words(browser: Browser, base: str) -> None:
    with opened(browser, base) as page:
        is_ready(page)
        card = add(page, b"hello", "hello.txt", "text/plain")
        expect(card).to_contain_text("The photo was refused.")
        expect(card).to_contain_text("not an image")
        expect(page.locator(".photo")).to_contain_text("This browser cannot show the photo.")
        assert card.get_by_role("button").count() == 0


def wide(form: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (1000, 700)).save(buffer, form)
    return buffer.getvalue()


@pytest.mark.slow
def test_what_exceeds_the_limits_is_not_sent(browser: Browser, stack: Stack) -> None:
    base = stack.api(VISION_MAX_BODY_MB="0.05", VISION_MAX_MEGAPIXELS="0.5")
    with opened(browser, base) as page:
        sent = requests_of(page)
        is_ready(page)
        card = add(page, (SAMPLES / "coffee.jpg").read_bytes(), "coffee.jpg", "image/jpeg")
        expect(card).to_contain_text("The photo has 71 kB, and the service takes at most 50 kB.")
        card = add(page, wide("PNG"))
        expect(card).to_contain_text("The photo has 0.7 megapixels, and the service takes 0.5.")
        assert [request for request in sent if request.method == "POST"] == []
        card = add(page, wide("JPEG"), "a.jpg", "image/jpeg")  # which is decoded smaller
        expect(card).to_contain_text("rgb")
        assert len([request for request in sent if request.method == "POST"]) == 1


def test_a_photo_from_a_private_address_is_not_fetched(browser: Browser, base: str) -> None:
    with opened(browser, base) as page:
        is_ready(page)
        page.get_by_label("Address of a photo").fill("http://127.0.0.1:1/cat.jpg")
        page.get_by_role("button", name="Add").click()
        card = page.locator(".answer")
        expect(card).to_contain_text("The photo could not be fetched.")
        expect(card).to_contain_text("VISION_URL_ALLOW")


def test_with_keys_nothing_is_shown_before_one_is_given_and_it_stays_in_the_tab(
    browser: Browser, stack: Stack
) -> None:
    with opened(browser, stack.api(VISION_API_KEYS=KEY)) as page:
        asked = requests_of(page)
        expect(page.get_by_role("heading", name="needs an API key")).to_be_visible()
        expect(page.locator("#service")).to_be_hidden()
        assert unreadable(page) == ""
        assert [request for request in asked if API in request.url] == []
        page.get_by_label("API key", exact=True).fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert").first).to_have_text(
            "The service does not accept this key."
        )
        expect(page.get_by_label("API key", exact=True)).to_be_focused()
        page.get_by_label("API key", exact=True).fill(KEY)
        page.get_by_role("button", name="Continue").click()
        is_ready(page)
        expect(add(page, plain(9))).to_contain_text("rgb 9 0 0")
        page.locator(".answer").get_by_role("button", name="curl").click()
        assert KEY not in page.get_by_label("Text to copy").input_value()
        assert "$VISION_API_KEY" in page.get_by_label("Text to copy").input_value()
        page.reload()
        is_ready(page)  # it is asked for once
        assert page.evaluate("localStorage.length") == 0
        other = page.context.new_page()
        other.goto(page.url)
        expect(other.get_by_role("heading", name="needs an API key")).to_be_visible()


def test_an_option_that_is_no_valid_number_is_marked_also_where_it_is_hidden(
    browser: Browser, base: str
) -> None:
    with opened(browser, base) as page:
        is_ready(page)
        expect(add(page, plain(7))).to_contain_text("rgb 7 0 0")
        more, seed = page.get_by_text("Prompt and options"), page.get_by_label("Seed")
        more.click()
        seed.fill("1.5")
        more.click()
        page.get_by_role("button", name="Ask again").click()
        expect(seed).to_be_focused()
        more.click()
        add(page, plain(8))
        expect(seed).to_be_focused()
        expect(page.get_by_role("alert").last).to_have_text("Correct the marked option.")


@pytest.mark.slow
def test_a_hidden_tab_asks_nothing(browser: Browser, base: str) -> None:
    with opened(browser, base) as page:
        is_ready(page)
        polls = requests_of(page)
        page.clock.install()
        page.reload()
        is_ready(page)
        with page.expect_request(MODELS):
            page.clock.run_for(2100)
        page.evaluate(SHOW, "hidden")
        expect(page.get_by_role("status")).to_be_empty()
        page.clock.run_for(2100)  # the answer to the last poll may still set a timer
        before = [poll.url for poll in polls].count(f"{base}{API}/models")
        page.clock.run_for(60_000)
        assert [poll.url for poll in polls].count(f"{base}{API}/models") == before
        with page.expect_request(MODELS):
            page.evaluate(SHOW, "visible")
