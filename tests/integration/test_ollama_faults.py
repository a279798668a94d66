"""What clients see of Ollama's faults: mostly nothing, because another server answers."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import data_url, plain
from tests.ollama.service import Ollama
from tests.ollama_standin import OllamaStandin
from tests.raw_http import caption_request, connect
from tests.scripts import SCRIPTS
from tests.stack import API, SAMPLES, running_stack, wait_for


@pytest.mark.parametrize("knob", ["empty_next", "broken_next"])
@pytest.mark.parametrize("task", ["caption", "labels", "nsfw"])
def test_an_unusable_answer_is_retried_once_and_then_an_error(
    ollama: Ollama, knob: str, task: str
) -> None:
    if (knob, task) == ("broken_next", "caption"):
        pytest.skip("any text is a caption")
    ollama.second.go_down()
    setattr(ollama.first.knobs, knob, 1)
    assert ollama.post(task).status_code == 200
    assert len(ollama.sent()) == 2
    first, second = ollama.sent()
    assert first["prompt"] != second["prompt"]
    setattr(ollama.first.knobs, knob, -1)
    reply = ollama.post(task)
    assert reply.status_code == 502
    assert task in reply.json()["error"]
    assert len(ollama.sent()) == 4


@pytest.mark.parametrize(
    "odd",
    [
        "I'm sorry, but I can't help with that.",
        "Es tut mir leid, ich kann dieses Bild nicht beschreiben.",
        "Lo siento, no puedo ayudar con eso.",
        "\u5f88\u62b1\u6b49\uff0c\u6211\u65e0\u6cd5\u534f\u52a9\u3002",
        "cat " * 300,
        "The image shows",
        "\u200d \u2060 \u202e",
    ],
    ids=["en", "de", "es", "zh", "loop", "opening", "invisible"],
)
def test_what_is_no_caption_is_asked_for_once_more_and_never_stored(
    ollama: Ollama, odd: str
) -> None:
    ollama.second.go_down()
    ollama.first.knobs.odd, ollama.first.knobs.odd_next = odd, 1
    assert ollama.caption(5) == "rgb 5 0 0"
    ollama.first.knobs.odd_next = 2
    reply = ollama.post("caption")
    assert reply.status_code == 502, reply.text
    assert "no usable caption in two attempts" in reply.json()["error"]


def test_a_caption_is_cut_to_what_it_says_and_stays_readable(ollama: Ollama) -> None:
    for server in ollama.servers:
        server.knobs.answer = "**In this picture,** we can see a cat on a mat and a " + 99 * (
            "cat on a mat and a "
        )
    assert ollama.caption() == "A cat on a mat"
    assert len(ollama.sent()) == 1


@pytest.mark.parametrize("script", [name for name in SCRIPTS if name not in ("emoji", "flag")])
def test_captions_in_all_scripts_reach_the_client_as_they_are(ollama: Ollama, script: str) -> None:
    for server in ollama.servers:
        server.knobs.answer = f"\u202e{SCRIPTS[script]}\u2069\x1b\u2028"
    assert ollama.caption() == SCRIPTS[script]


def test_a_small_image_is_read_by_models_that_fail_on_it(ollama: Ollama) -> None:
    for server in ollama.servers:
        server.knobs.min_side_px = 28
    assert ollama.caption(9, images=[data_url(plain(9))]) == "rgb 9 0 0"
    assert len(ollama.sent()) == 1


def test_an_error_about_the_image_is_a_400_after_one_attempt(ollama: Ollama) -> None:
    for server in ollama.servers:
        server.knobs.fail_next, server.knobs.fail_message = -1, "image: unknown format"
    reply = ollama.post("caption")
    assert (reply.status_code, len(ollama.sent())) == (400, 1)
    assert "image: unknown format" in reply.json()["error"]


@pytest.mark.parametrize(
    "knobs",
    [
        {"fail_next": 1},
        {"fail_next": 1, "fail_at": "stream"},
        {"cut_next": 1},
    ],
    ids=["500", "500-midway", "cut"],
)
def test_a_request_moves_to_another_server_when_one_fails(
    ollama: Ollama, knobs: dict[str, Any]
) -> None:
    for server in ollama.servers:
        for name, value in knobs.items():
            setattr(server.knobs, name, value)
    assert ollama.caption(11).startswith("rgb 11 0 0")
    assert len(ollama.sent()) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("where", ["headers", "stream"])
def test_a_request_moves_to_another_server_when_one_hangs(ollama: Ollama, where: str) -> None:
    for server in ollama.servers:
        server.knobs.hang_at = where  # type: ignore[assignment]
        server.knobs.hang_next = 1
    with ThreadPoolExecutor(1) as pool:
        text = pool.submit(ollama.caption, 11)

        def hung() -> bool:
            return 0 in [server.knobs.hang_next for server in ollama.servers]

        wait_for("one to hang", hung)
        for server in ollama.servers:
            server.knobs.hang_next = 0  # one hangs, the other must not
        assert text.result().startswith("rgb 11 0 0")
    assert len(ollama.sent()) == 2


def test_a_server_that_is_down_is_skipped_and_used_again_when_it_is_back(ollama: Ollama) -> None:
    ollama.first.go_down()
    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(ollama.caption, range(8)))) == 8

    def seen_down() -> bool:
        return not ollama.statuses()[ollama.first.url].up

    wait_for("the loss to be seen", seen_down)
    ollama.first.come_back()

    def used_again() -> bool:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(ollama.caption, range(8)))
        return bool(ollama.first.generates())

    wait_for("the first server to be used", used_again)


@pytest.mark.slow
def test_a_request_that_takes_too_long_is_a_504_and_the_server_stops(ollama: Ollama) -> None:
    for server in ollama.servers:
        server.knobs.hang_next = -1
    before = ollama.first.aborted + ollama.second.aborted
    base = ollama.stack.api(OLLAMA_ENABLED="true", VISION_TIMEOUT="2")
    body = {"model": "llava:7b", "images": [data_url(plain(5))]}
    assert requests.post(f"{base}{API}/caption", json=body, timeout=20).status_code == 504

    def aborted() -> bool:
        return ollama.first.aborted + ollama.second.aborted > before

    wait_for("the server to stop", aborted)


def test_what_ollama_rejects_is_a_400_and_a_damaged_image_a_422(ollama: Ollama) -> None:
    rejected = ollama.post("caption", think=True)
    assert rejected.status_code == 400
    assert "does not support thinking" in rejected.json()["error"]
    photo = (SAMPLES / "cat.jpg").read_bytes()
    damaged = ollama.post("caption", images=[data_url(photo[: len(photo) // 2])])
    assert damaged.status_code == 422


def test_a_client_that_disconnects_stops_the_generation(ollama: Ollama) -> None:
    for server in ollama.servers:
        server.knobs.token_s = 1.0
    before = ollama.first.aborted + ollama.second.aborted
    with connect(ollama.base) as line:
        line.sendall(caption_request(f"{API}/caption", model="llava:7b"))
        wait_for("the generation", ollama.sent)

    def aborted() -> bool:
        return ollama.first.aborted + ollama.second.aborted > before

    wait_for("the server to stop", aborted)


@pytest.mark.slow
def test_a_model_whose_server_is_down_is_a_503_at_once_also_with_two_workers(
    tmp_path: Path,
) -> None:
    with OllamaStandin(("llava:7b",)) as down, OllamaStandin(("gemma3:4b",)) as other:
        settings = {
            "OLLAMA_ENABLED": "true",
            "OLLAMA_HOST": f"{down.url},{other.url}",
            "VISION_RESTART_GRACE_S": "1",
        }
        with running_stack(tmp_path, **settings) as stack:
            stack.another_worker("ollama")
            stack.worker("ollama")
            stack.wait_ready("ollama", 2)
            base = stack.api()
            down.go_down()

            def noticed() -> bool:
                workers = stack.presence("ollama").workers
                return all(f"{down.url} is down" in worker.reason for worker in workers)

            wait_for("the loss to be seen", noticed)
            body = {"model": "llava:7b", "images": [data_url(plain(5))]}
            reply = requests.post(f"{base}{API}/caption", json=body, timeout=10)
            assert reply.status_code == 503
            assert "only on servers that are down" in reply.json()["error"]
            body["model"] = "gemma3:4b"
            assert requests.post(f"{base}{API}/caption", json=body, timeout=10).ok
