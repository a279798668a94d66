"""The page can be used by everyone: with the keyboard alone, on any screen, with other senses."""

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import opened, unreadable
from tests.integration.page import CAT, COFFEE, MODELS, add, answer, choose, picture


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_axe_finds_nothing_that_people_could_not_use(
    browser: Browser, page_base: str, scheme: str
) -> None:
    with opened(browser, page_base, color_scheme=scheme) as page:
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
def test_nothing_is_wider_than_the_screen(browser: Browser, page_base: str, width: int) -> None:
    with opened(browser, page_base, viewport={"width": width, "height": 800}) as page:
        page.get_by_role("region", name="State of the service").locator("summary").click()
        choose(page, "Everything", *MODELS)
        add(page, COFFEE, picture(3, f"{'long' * 40}.png"))
        expect(page.locator(".answer[aria-busy=false]")).to_have_count(6)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_keyboard_alone_is_enough(browser: Browser, page_base: str) -> None:
    with opened(browser, page_base, reduced_motion="reduce") as page:
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
