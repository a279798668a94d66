"""What a request costs Redis: its commands are counted, so that they stay few."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.conftest import data_url, plain
from tests.stack import API, Stack, running_stack, wait_for

REQUESTS = 4
"""In a round: so few that on a busy machine, too, some rounds are without a heartbeat."""
MOST = 9
"""Commands of a request: eight of its own, and its share of what workers and API ask by the clock,
which is less than one in a round without a heartbeat. There were 32 when Celery's results and
acknowledgements were in Redis."""
OF_THE_CLOCK = frozenset({"ping", "client|setinfo", "client|setname", "hello", "auth", "select"})
"""Commands of connections, not of requests."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Redis of our own, on which nothing else works."""
    with running_stack(tmp_path_factory.mktemp("commands")) as running:
        yield running


def test_a_request_takes_few_commands(stack: Stack) -> None:
    stack.worker("fake")
    address = f"{stack.api()}{API}/caption/fake"
    session = requests.Session()

    def post() -> None:
        body = {"images": [data_url(plain(1))]}
        session.post(address, json=body, timeout=30).raise_for_status()

    for _ in range(5):  # connections and scripts are made
        post()

    def commands() -> int:
        stack.redis.config_resetstat()
        for _ in range(REQUESTS):
            post()
        found: Any = stack.redis.info("commandstats")
        calls = {name.removeprefix("cmdstat_"): each["calls"] for name, each in found.items()}
        return sum(count for name, count in calls.items() if name not in OF_THE_CLOCK)

    wait_for("a round without a heartbeat", lambda: commands() <= MOST * REQUESTS)
