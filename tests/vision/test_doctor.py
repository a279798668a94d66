"""``vision doctor``: what is right has a ✔, and each fault its ✘ or ⚠ with what to do."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from launcher.ports import LOOPBACK, free_port
from tests.integration.client import idle_worker
from tests.redis_faults import configured, read_only
from tests.stack import Stack, wait_for
from tests.vision.command import vision
from tests.vision.diagnosis import SIGNS, doctor, has
from vision.doctor.findings import Mark
from vision.doctor.service import check_redis, check_worker
from vision.schemas import Worker


@pytest.fixture(scope="module")
def url(stack: Stack, api: str) -> str:
    idle_worker(stack, "fake")
    idle_worker(stack, "opennsfw", "nsfw")
    return api


def test_what_is_right_is_said_part_by_part(url: str) -> None:
    found = doctor(url, "--no-machine")
    for words in (
        ("API", url), ("Redis", "answers"), ("Redis", "of 537 MB"), ("Redis", "nothing to disk"),
        ("Clock", "that of the API"), ("Models", "fake does caption, labels, nsfw"),
        ("Workers", "opennsfw-", "ready on CPU"), ("Memory", "opennsfw-"),
    ):  # fmt: skip
        assert has(found, "✔", *words), (words, found)


def test_people_read_signs_with_advice_and_scripts_the_exit_status(url: str) -> None:
    done = vision("doctor", "--no-machine", "--url", url, "--vision-yml", "/nowhere.yml")
    assert done.returncode == 1
    assert "✔ API: Vision Workers answers" in done.stdout
    assert "✘ vision.yml: " in done.stdout
    assert "  See `vision config photoprism`." in done.stdout


def test_a_redis_that_drops_or_keeps_photos_is_told(stack: Stack, url: str) -> None:
    with configured(stack, "maxmemory-policy", "allkeys-lru"), configured(stack, "save", "60 1"):
        found = doctor(url, "--no-machine")
    assert has(found, "✘", "Redis", "eviction policy is allkeys-lru", "CONFIG SET")
    assert has(found, "⚠", "Redis", "writes its data to disk")
    with configured(stack, "maxmemory", "0"):
        assert has(doctor(url, "--no-machine"), "⚠", "Redis", "has no limit")


def test_a_redis_that_takes_no_writes_or_sends_no_large_photos_is_told(
    stack: Stack, url: str
) -> None:
    with read_only(stack):
        assert has(doctor(url, "--no-machine"), "✘", "Redis", "Redis refuses: READONLY")
    with configured(stack, "client-output-buffer-limit", "normal 2000000 1000000 9"):
        assert has(doctor(url, "--no-machine"), "⚠", "Redis", "over 1 MB", "'normal 0 0 0'")
    said = "\n".join(doctor(url, "--no-machine"))
    assert "refuses" not in said
    assert "closes a connection" not in said


def test_an_old_redis_and_a_full_one_are_told() -> None:
    said = {"product": "redis", "version": "5.0.7", "memory_mb": 300, "memory_limit_mb": 512}
    assert [finding.mark for finding in check_redis(said)] == [Mark.WRONG, Mark.DOUBTFUL]


def test_without_an_operators_key_redis_is_not_told(stack: Stack) -> None:
    guarded = stack.api(VISION_API_KEYS="user", VISION_OPERATOR_KEYS="boss")
    found = doctor(guarded, "--no-machine", "--key", "user")
    assert has(found, "⚠", "Redis", "operator key")
    assert has(doctor(guarded, "--no-machine", "--key", "boss"), "✔", "Redis", "answers")
    assert has(doctor(guarded, "--no-machine"), "✘", "API", "needs a key", "--key")


def test_models_that_should_run_and_do_not_are_told_with_the_reason(stack: Stack) -> None:
    stack.worker("broken")
    url = stack.api(VISION_MODELS="broken,unserved,fake")

    def has_failed() -> list[str] | None:  # and not just begun another try
        found = doctor(url, "--no-machine")
        return found if has(found, "✘", "Workers", "broken-", "has failed") else None

    found = wait_for("the failure", has_failed)
    assert has(found, "✘", "Models", "unserved does not serve: no worker", "VISION_MODELS")
    assert has(found, "✘", "Models", "broken", "the weights are corrupt")


def test_a_clock_that_differs_is_told() -> None:
    late = Worker(worker="w", state="ready", consuming=True, beat_at=time.time() - 3600)
    assert "behind" in next(check_worker(late)).says
    assert Mark.WRONG in {finding.mark for finding in check_worker(late)}
    here = Worker(worker="w", state="ready", consuming=True, beat_at=time.time())
    assert {finding.mark for finding in check_worker(here)} == {Mark.GOOD}


def test_memory_that_is_full_and_servers_that_are_down_are_told() -> None:
    servers: tuple[dict[str, Any], ...] = (
        {"url": "http://a", "up": False, "error": "refused"},
        {"url": "http://b", "up": True, "models": ["llava"], "gpu_share": {"llava": 0.4}},
    )
    worker = Worker(
        worker="w", state="degraded", reason="halved", memory_mb=23_000, memory_limit_mb=24_000,
        hosts=servers,
    )  # fmt: skip
    found = [f"{SIGNS[row.mark]} {row.part}: {row.says}" for row in check_worker(worker)]
    assert has(found, "⚠", "Workers", "halved")
    assert has(found, "⚠", "Memory", "23.0 GB of 24.0 GB")
    assert has(found, "✘", "Ollama", "http://a does not answer: refused")
    assert has(found, "⚠", "Ollama", "llava on http://b", "40%")


def test_nothing_and_something_else_at_the_port_are_told() -> None:
    port = free_port()
    found = doctor(f"http://{LOOPBACK}:{port}", "--no-machine")
    assert has(found, "✘", "Ports", f"Nothing listens on port {port}", "Connection refused")
    with _mute_server() as port:
        found = doctor(f"http://{LOOPBACK}:{port}", "--no-machine")
    assert has(found, "✘", "Ports", f"Something else listens on port {port}", "VISION_PORT")


@pytest.mark.parametrize("url", ["127.0.0.1:5000", "http://127.0.0.1:abc", "http://[::1", ""])
def test_what_is_no_address_is_told(url: str) -> None:
    found = doctor(url, "--no-machine")
    assert has(found, "✘", "API", "is not an address of a service")
    assert has(found, "✘", "Ports", "names no port", "http://127.0.0.1:5000")
    said = vision("logs", "--url", url)
    assert (said.returncode, "is not an address of a service" in said.stderr) == (2, True)


def test_flower_is_looked_for_where_the_page_links_to(stack: Stack) -> None:
    nowhere = f"http://{LOOPBACK}:{free_port()}"
    found = doctor(stack.api(VISION_FLOWER_URL=nowhere), "--no-machine")
    assert has(found, "⚠", "Ports", f"Flower does not answer at {nowhere}", "VISION_FLOWER_URL")


@contextlib.contextmanager
def _mute_server() -> Iterator[int]:
    """A server that closes each connection at once."""
    with socket.create_server((LOOPBACK, 0)) as server:
        stopped = threading.Event()

        def accept() -> None:
            while not stopped.is_set():
                with contextlib.suppress(OSError):
                    server.accept()[0].close()

        thread = threading.Thread(target=accept)
        thread.start()
        port = server.getsockname()[1]
        try:
            yield port
        finally:
            stopped.set()
            socket.create_connection((LOOPBACK, port)).close()
            thread.join()
