"""The page shows operators how far runs of bulk work are."""

import time
import uuid
from collections.abc import Iterator

import pytest
import requests
from playwright.sync_api import Browser, expect

from tests.browser import opened, unreadable
from tests.stack import API, Stack, running_stack

RUN = {
    "kind": "folders", "name": "Pictures <b>2024</b>", "state": "running", "total": 10_000,
    "done": 1_234, "failed": 3, "per_hour": 3_400.4, "left_s": 9_300.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service without workers, and nobody else who reports to it."""
    with running_stack(tmp_path_factory.mktemp("page-runs")) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_runs(stack: Stack) -> None:
    for key in stack.redis.scan_iter("vision:run*"):
        stack.redis.delete(key)


def put(base: str, run: uuid.UUID, key: str = "", **changes: object) -> None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    path = f"{base}{API}/runs/{run}"
    requests.put(path, json={**RUN, **changes}, headers=headers, timeout=30).raise_for_status()


@pytest.mark.parametrize("width", [320, pytest.param(1200, marks=pytest.mark.slow)])
def test_a_run_is_shown_while_it_goes_on_and_how_it_ended(
    stack: Stack, browser: Browser, width: int
) -> None:
    base, run = stack.api(), uuid.uuid4()
    put(base, run)
    with opened(browser, base, viewport={"width": width, "height": 800}) as page:
        row = page.get_by_role("list", name="Bulk work").get_by_role("listitem").first
        expect(row).to_contain_text("Pictures <b>2024</b>running")  # a text, and no markup
        expect(row).to_contain_text(
            "1,234 of 10,000 photos · 3,400 an hour · done in 2 h 35 min · 3 failed"
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert unreadable(page) == ""
        stack.redis.zadd("vision:runs", {str(run): time.time() - 60})
        expect(row).to_contain_text("stopped reporting1,234 of 10,000 photos · 3 failed")
        put(base, run, state="done", done=10_000)
        expect(row).to_contain_text("done10,000 of 10,000 photos · 3 failed")
        stack.redis.delete(f"vision:run:{run}")
        expect(page.get_by_role("list", name="Bulk work")).to_be_hidden()


def test_who_is_no_operator_sees_no_run_and_is_not_asked_for_another_key(
    stack: Stack, browser: Browser
) -> None:
    base = stack.api(VISION_API_KEYS="member", VISION_OPERATOR_KEYS="boss")
    put(base, uuid.uuid4(), "member")
    for key, is_operator in (("member", False), ("boss", True)):
        with opened(browser, base) as page:
            with page.expect_response(f"**{API}/runs") as asked:
                page.get_by_label("API key", exact=True).fill(key)
                page.get_by_role("button", name="Continue").click()
            assert asked.value.ok == is_operator
            expect(page.get_by_label("API key", exact=True)).to_be_hidden()
            expect(page.get_by_role("region", name="State of the service")).to_be_visible()
            expect(page.get_by_role("list", name="Bulk work")).to_be_visible(visible=is_operator)
