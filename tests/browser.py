"""A real browser that tests drive: Debian's Chromium, headless, by Playwright."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

ARGUMENTS = ("--no-sandbox", "--disable-background-networking", "--disable-component-update")
REFUSED = "Failed to load resource"
"""How Chromium reports each reply with an error status."""
TIMEOUT_MS = 30_000
"""How long a test waits for what the page is to show."""


@contextlib.contextmanager
def running_browser() -> Iterator[Browser]:
    """Run a browser; skip the test where there is none."""
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("no browser: Debian's package chromium has one")
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield started
        started.close()


@contextlib.contextmanager
def opened(browser: Browser, base: str, path: str = "/", **options: Any) -> Iterator[Page]:
    """Open a page as a person does; at the end, see that it did nothing it must not.

    It must load nothing from elsewhere, violate no policy of its own, and raise no error.

    Args:
        browser: the browser.
        base: address of the API, or of a folder.
        path: where the page is there.
        options: of the browser's context, such as ``color_scheme``.
    """
    context = browser.new_context(**options)
    page, faults = context.new_page(), list[str]()

    def note_message(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(REFUSED):
            faults.append(message.text)

    def note_request(request: Request) -> None:
        if not request.url.startswith((f"{base}/", "blob:")):
            faults.append(request.url)

    page.on("console", note_message)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", note_request)
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(f"{base}{path}")
    try:
        yield page
    finally:
        context.close()
    assert faults == []


def unreadable(page: Page) -> str:
    """Return what axe-core finds that hinders people with a disability; empty if nothing."""
    found = Axe().run(page)
    return "" if found.violations_count == 0 else str(found.generate_report())
