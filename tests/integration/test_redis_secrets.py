"""What Redis says of a command that it does not know is told without the command's arguments."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
import redis
import requests

from launcher import run_stack
from launcher.errors import StartFailed
from launcher.ports import LOOPBACK, free_port
from launcher.redis_server import redis_command
from shared.settings import Settings
from tests.stack import Stack, running_stack, wait_for

PASSWORD = "of-this-redis"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("secrets")) as running:
        yield running


@pytest.fixture(scope="module")
def url(stack: Stack) -> str:
    """A Redis without HELLO, with which clients send their password; as behind some proxies.

    It needs no password: Valkey would ask for one before it says that there is no such command.
    """
    port = free_port()
    options = ["--rename-command", "HELLO", ""]
    stack.processes.start("old", [*redis_command(port, stack.processes.folder), *options])

    def answers() -> bool:
        with suppress(redis.ConnectionError), redis.Redis(LOOPBACK, port, protocol=2) as client:
            return bool(client.ping())
        return False

    wait_for("Redis", answers)
    return f"redis://:{PASSWORD}@{LOOPBACK}:{port}/0"


def test_a_password_is_told_neither_to_clients_nor_to_logs(stack: Stack, url: str) -> None:
    base = stack.api(VISION_REDIS_URL=url)

    def refusal() -> str | None:
        text: str = requests.get(f"{base}/readyz", timeout=30).text
        return text if "Redis refuses" in text else None

    said = wait_for("the refusal", refusal)
    assert "Redis refuses: ERR unknown command 'HELLO'." in said
    assert PASSWORD not in said
    stack.another_worker("fake", VISION_REDIS_URL=url)
    wait_for("its tries", lambda: "Cannot connect" in stack.processes.logs("worker-fake"))
    logs = stack.processes.logs("worker-fake") + stack.processes.logs("api")
    assert "unknown command 'HELLO'" in logs
    assert PASSWORD not in logs


def test_make_run_says_at_once_that_a_redis_cannot_be_used(stack: Stack, url: str) -> None:
    with pytest.raises(StartFailed, match=r"cannot be used\. Redis refuses: .* 'HELLO'\.$"):
        run_stack.check(Settings(redis_url=url))
    for keys, commands in (("*", "+@read"), ("vision:*", "+@all")):
        stack.redis.acl_setuser(
            "some", enabled=True, reset=True, nopass=True, keys=[keys], commands=[commands]
        )
        some = stack.redis_url.replace("//", "//some:x@")
        with pytest.raises(StartFailed, match=r"cannot be used\. Redis refuses: NOPERM "):
            run_stack.check(Settings(redis_url=some))
