"""How often a request is sent: to whom, with what, and after which failures again."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from shared.catalog import Catalog
from shared.errors import BadRequest, NotOffered, OllamaFailed, UndecodableImage
from shared.options import Options
from shared.tasks import CAPTION
from tests.conftest import plain
from tests.ollama.engine_harness import MODEL, EngineHarness, running_engine
from tests.ollama_standin import OllamaStandin
from tests.ollama_standin.knobs import Knobs
from tests.scripts import SCRIPTS
from tests.stack import Stack
from workers.remote.config import model_defaults

MIXED_CASE = "LLaVA:7B"


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[OllamaStandin, OllamaStandin]]:
    with OllamaStandin((MODEL,)) as first, OllamaStandin((MODEL,)) as second:
        yield first, second


@pytest.fixture(scope="module")
def running(stack: Stack, servers: tuple[OllamaStandin, OllamaStandin]) -> Iterator[EngineHarness]:
    with running_engine(stack, *servers) as harness:
        yield harness


@pytest.fixture
def harness(running: EngineHarness, servers: tuple[OllamaStandin, OllamaStandin]) -> EngineHarness:
    for server in servers:
        server.knobs = Knobs()
        server.requests.clear()
    return running


def set_knobs(servers: tuple[OllamaStandin, OllamaStandin], **knobs: Any) -> None:
    for server in servers:
        server.knobs = Knobs(**knobs)


def attempts(servers: tuple[OllamaStandin, OllamaStandin]) -> int:
    return sum(len(server.generates()) for server in servers)


@pytest.mark.parametrize("text", ["A cat\u2028sits.", "A cat\x85sits.", "A\u2029cat sits\x1e."])
def test_an_answer_may_have_any_line_separator(
    harness: EngineHarness, servers: Any, text: str
) -> None:
    set_knobs(servers, answer=text)
    assert harness.generate()["response"] == text
    assert harness.generate(stream=True)["response"] == text
    assert harness.caption() == " ".join(text.replace("\x1e.", " .").split())
    assert attempts(servers) == 3


def test_a_photo_that_cannot_be_read_is_no_bug_in_the_log(
    harness: EngineHarness, servers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    cut_off = plain(9)[:-30]
    with pytest.raises(UndecodableImage):
        harness.vision(CAPTION, [cut_off])
    assert harness.vision(CAPTION, [cut_off, plain(7)])[CAPTION].text.startswith("rgb 7 ")
    assert attempts(servers) == 1
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("script", [name for name in SCRIPTS if name not in ("emoji", "flag")])
def test_captions_in_all_scripts_arrive_as_they_are(
    harness: EngineHarness, servers: Any, script: str
) -> None:
    set_knobs(servers, answer=SCRIPTS[script])
    assert harness.caption() == SCRIPTS[script]


def test_half_characters_crash_nothing(harness: EngineHarness, servers: Any) -> None:
    set_knobs(servers, answer="A cat \ud83d\ude00 sits\ud800.")
    assert harness.generate(prompt="\udc00 what\ud83d?", system="\ud800")["response"]
    assert harness.caption() == "A cat 😀 sits."


@pytest.mark.parametrize("malformed", ["<html>Bad Gateway</html>", '{"response": 5}', "[]", "{"])
def test_a_malformed_reply_is_asked_for_once_more(
    harness: EngineHarness, servers: Any, malformed: str
) -> None:
    set_knobs(servers, malformed_next=-1, malformed=malformed)
    with pytest.raises(OllamaFailed, match="answer"):
        harness.caption()
    assert attempts(servers) == 2


def test_the_second_reply_may_be_good(harness: EngineHarness, servers: Any) -> None:
    servers[0].knobs.malformed_next = 1
    servers[1].knobs.malformed_next = 0
    assert [harness.caption(red) for red in (1, 2)] == ["rgb 1 0 0", "rgb 2 0 0"]


@pytest.mark.parametrize(
    ("where", "status", "message"),
    [
        ("headers", 400, "no"), ("headers", 413, "too large"), ("headers", 422, "Unprocessable"),
        ("headers", 500, "height:8 or width:8 must be larger than factor:28"),
        ("stream", 500, "image too small"), ("stream", 500, "image: unknown format"),
    ],
)  # fmt: skip
def test_an_error_about_the_request_is_not_repeated(
    harness: EngineHarness, servers: Any, where: str, status: int, message: str
) -> None:
    set_knobs(servers, fail_next=-1, fail_status=status, fail_message=message, fail_at=where)
    with pytest.raises(BadRequest, match="rejects the request"):
        harness.caption()
    assert attempts(servers) == 1


def test_faults_of_servers_are_repeated_on_all_of_them(
    harness: EngineHarness, servers: Any
) -> None:
    set_knobs(servers, fail_next=-1)
    with pytest.raises(OllamaFailed):
        harness.caption()
    assert attempts(servers) == 4
    assert all(server.generates() for server in servers)


def test_images_are_large_enough_for_models_that_fail_on_small_ones(
    harness: EngineHarness, servers: Any
) -> None:
    set_knobs(servers, min_side_px=32)
    assert harness.caption(7) == "rgb 7 0 0"
    assert attempts(servers) == 1


def test_a_long_prompt_arrives_whole(harness: EngineHarness, servers: Any) -> None:
    prompt = "What is it? " * 20_000
    harness.submit(
        {"tasks": (CAPTION,), "prompt": prompt, "ollama": {"model": MODEL}}, [plain(1)]
    ).result(30)
    (sent,) = [request.body for server in servers for request in server.generates()]
    assert sent is not None
    assert sent["prompt"] == prompt


def test_options_arrive_as_the_client_sent_them(harness: EngineHarness, servers: Any) -> None:
    options = {
        "temperature": -1, "top_k": -1, "top_p": 1.5, "min_p": 2, "seed": 1.5, "repeat_penalty": 0,
        "num_predict": -2, "stop": ["", "\n\n", *map(str, range(99)), "z" * 300], "num_ctx": 4096,
        "mirostat": 2, "penalize_newline": True,
    }  # fmt: skip
    harness.caption(options=Options.model_validate(options).model_dump(exclude_unset=True))
    (sent,) = [request.body for server in servers for request in server.generates()]
    assert sent is not None
    assert sent["options"] == options


def test_names_are_sent_as_the_server_spells_them(stack: Stack) -> None:
    with OllamaStandin((MIXED_CASE,), case_sensitive=True) as server:
        with running_engine(stack, server) as harness:
            assert harness.caption() == "rgb 7 0 0"
            assert harness.generate()["done"]
        assert {(request.body or {})["model"] for request in server.generates()} == {MIXED_CASE}


def test_a_name_that_one_request_did_not_find_is_not_hidden_from_others(stack: Stack) -> None:
    with (
        OllamaStandin((MODEL,), missing_next=1) as server,
        running_engine(stack, server, poll_s=30) as harness,
    ):
        assert harness.caption() == "rgb 7 0 0"
        assert harness.status(server).models == (MODEL,)
        server.remove(MODEL)
        with pytest.raises(NotOffered, match="There is no model"):
            harness.caption()


def test_the_row_of_a_model_is_found_however_its_name_is_spelt() -> None:
    rows = [
        {"name": "ollama", "family": "ollama"},
        {"name": "mine", "family": "ollama", "source": "LLaVA", "parameters": {"system": "mine"}},
    ]
    catalog = Catalog.model_validate({"models": rows})
    for name in ("llava", "LLAVA:latest", "LLaVA:Latest"):
        assert model_defaults(catalog, name).system == "mine"
    assert model_defaults(catalog, "llava:7b").system == ""
