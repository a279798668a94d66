"""The page while the service is away, wants a key, or has many to answer: photos wait."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Route, expect

from launcher.ports import free_port
from tests.browser import opened
from tests.conftest import plain
from tests.integration.test_page_faults import MODELS, add, is_ready, payload
from tests.stack import API, Stack, end, running_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("away"), VISION_MODELS="fake") as running:
        running.worker("fake")
        yield running


@pytest.fixture(scope="module")
def base(stack: Stack) -> str:
    return stack.api()


@pytest.mark.slow
def test_a_service_that_is_gone_is_waited_for(browser: Browser, stack: Stack) -> None:
    port = str(free_port())
    base = stack.another_api(VISION_PORT=port)
    with opened(browser, base) as page:
        is_ready(page)
        end(stack.api_process, signal.SIGKILL)
        expect(page.get_by_role("status")).to_contain_text("The service does not answer.")
        page.get_by_label("Choose photos").set_input_files(
            [payload(plain(red), f"{red}.png") for red in range(9)]
        )
        expect(page.locator(".answer").first).to_contain_text(
            "The service does not answer. Asking again when the service answers."
        )
        expect(page.locator(".answer[aria-busy=true]")).to_have_count(9)
        stack.another_api(VISION_PORT=port)
        expect(page.locator(".caption")).to_have_text([f"rgb {red} 0 0" for red in range(9)])
        expect(page.get_by_role("status")).to_be_empty()


@pytest.mark.parametrize("status", [0, 502], ids=["cut", "proxy"])
def test_who_gets_no_answer_twice_can_ask_again_later(
    browser: Browser, base: str, status: int
) -> None:
    tries = list[str]()

    def refuse(route: Route) -> None:
        tries.append(route.request.url)
        if status:
            route.fulfill(status=status, body="<html>Bad Gateway</html>")
        else:
            route.abort()

    with opened(browser, base) as page:
        is_ready(page)
        page.route(f"**{API}", refuse)
        card = add(page, plain(7))
        expect(card).to_contain_text("The service does not answer.")
        again = card.get_by_role("button", name="Try again")
        expect(again).to_be_visible()
        assert len(tries) == 2
        page.unroute(f"**{API}")
        again.click()
        expect(card).to_contain_text("rgb 7 0 0")


def test_photos_wait_for_a_key_that_becomes_necessary(browser: Browser, stack: Stack) -> None:
    port = str(free_port())
    base = stack.another_api(VISION_PORT=port)
    with opened(browser, base) as page:
        is_ready(page)
        end(stack.api_process)
        stack.another_api(VISION_PORT=port, VISION_API_KEYS="new")
        page.get_by_label("Choose photos").set_input_files(
            [payload(plain(red), f"{red}.png") for red in range(9)]
        )
        page.get_by_label("API key", exact=True).fill("new")
        page.keyboard.press("Enter")
        expect(page.locator(".caption")).to_have_text([f"rgb {red} 0 0" for red in range(9)])


def test_the_state_is_asked_for_before_photos_where_tabs_have_too_few_connections(
    browser: Browser, base: str
) -> None:
    with opened(browser, base) as page:
        is_ready(page)
        line = page.context.new_cdp_session(page)
        line.send("Network.enable")
        urgent = dict[str, str]()

        def note(event: dict[str, Any]) -> None:
            urgent[event["request"]["url"]] = event["request"]["initialPriority"]

        line.on("Network.requestWillBeSent", note)
        expect(add(page, plain(3))).to_contain_text("rgb 3 0 0")
        with page.expect_response(MODELS):
            pass
        assert urgent[f"{base}{API}"] == "Low"
        assert urgent[f"{base}{API}/models"] == "High"
