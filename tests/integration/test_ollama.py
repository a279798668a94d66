"""Ollama behind the queue: real API, Redis and worker; the servers are stand-ins."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
import requests

from tests.conftest import data_url, plain
from tests.ollama_standin import Knobs, OllamaStandin
from tests.stack import API, Stack, running_stack, wait_for

MODELS = ("llava:7b", "gemma3:4b")
DEFAULT_KNOBS = Knobs()


class Ollama(NamedTuple):
    """A stack in front of two servers."""

    stack: Stack
    base: str
    first: OllamaStandin
    second: OllamaStandin

    @property
    def servers(self) -> tuple[OllamaStandin, OllamaStandin]:
        return self.first, self.second

    def ask(self, task: str, red: int = 7, model: str = "llava:7b", **body: Any) -> Any:
        images = body.pop("images", [data_url(plain(red))])
        url = f"{self.base}{API}/{task}"
        return requests.post(url, json={"model": model, "images": images, **body}, timeout=60)

    def caption(self, red: int = 7, **body: Any) -> str:
        reply = self.ask("caption", red, **body)
        assert reply.status_code == 200, reply.text
        return str(reply.json()["result"]["caption"]["text"])

    def hosts(self) -> dict[str, Any]:
        workers = self.stack.presence("ollama").workers
        return {host.url: host for worker in workers for host in worker.hosts}

    def sent(self) -> list[dict[str, Any]]:
        """Bodies of the requests that both servers were to answer."""
        found = [request for server in self.servers for request in server.generates()]
        return [request.body or {} for request in sorted(found, key=lambda request: request.at)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ollama]:
    folder = tmp_path_factory.mktemp("ollama")
    with OllamaStandin(MODELS) as first, OllamaStandin(MODELS) as second:
        hosts = f"{first.url},{second.url}"
        with running_stack(folder, OLLAMA_ENABLED="true", OLLAMA_HOST=hosts) as stack:
            stack.worker("ollama")
            yield Ollama(stack, stack.api(OLLAMA_ENABLED="true"), first, second)


@pytest.fixture
def ollama(running: Ollama) -> Ollama:
    """Both servers up, as new, and known to be so."""
    for server in running.servers:
        for name, value in DEFAULT_KNOBS:
            setattr(server.knobs, name, value)
        server.requests.clear()
        if server.is_down:
            server.come_back()

    def both_up() -> bool | None:
        hosts = running.hosts()
        return all(hosts[server.url].up for server in running.servers) or None

    wait_for("both servers", both_up, 20)
    return running


def test_a_model_that_the_catalogue_does_not_know_is_ollamas(ollama: Ollama) -> None:
    reply = ollama.ask("caption", 9).json()
    assert reply["result"]["caption"]["text"].startswith("rgb 9 0 0")
    assert reply["model"]["name"] == "llava"
    assert reply["model"]["version"] == "7b"
    assert ollama.sent()[-1]["model"] == "llava:7b"


def test_labels_and_nsfw_come_as_results(ollama: Ollama) -> None:
    labels = ollama.ask("labels", 9).json()["result"]["labels"]
    assert labels[0]["name"]
    verdicts = ollama.ask("nsfw", images=[data_url(plain(250)), data_url(plain(3))]).json()
    assert [entry["status"] for entry in verdicts["result"]["nsfw"]] == ["unsafe", "safe"]


def test_prompt_options_and_format_go_request_then_catalogue_then_environment(
    ollama: Ollama,
) -> None:
    ollama.caption(model="gemma")
    ollama.caption(
        model="gemma",
        prompt="mine",
        system="be brief",
        think=None,
        options={"temperature": 0.7, "num_ctx": 2048},
    )
    by_row, by_request = ollama.sent()
    assert by_row["model"] == by_request["model"] == "gemma3:4b"
    assert (by_row["prompt"], by_request["prompt"]) == ("row prompt", "mine")
    assert by_row["options"]["temperature"] == 0.1
    assert by_request["options"]["temperature"] == 0.7
    assert by_request["options"]["num_ctx"] == 2048
    assert by_request["system"] == "be brief"
    assert by_request["think"] is False


def test_all_images_of_a_label_request_are_used(ollama: Ollama) -> None:
    crops = [data_url(plain(red)) for red in (1, 2, 3)]
    assert ollama.ask("labels", images=crops).status_code == 200
    assert ollama.sent()[-1]["images"] == 3


@pytest.mark.parametrize("knob", ["in_thinking", "fenced", "percent"])
def test_odd_forms_of_an_answer_are_understood(ollama: Ollama, knob: str) -> None:
    for server in ollama.servers:
        setattr(server.knobs, knob, True)
    labels = ollama.ask("labels", 9).json()["result"]["labels"]
    assert 0 < labels[0]["confidence"] <= 1


@pytest.mark.parametrize("knob", ["empty_next", "broken_next"])
@pytest.mark.parametrize("task", ["caption", "labels", "nsfw"])
def test_a_useless_answer_is_asked_for_again_once_and_then_an_error(
    ollama: Ollama, knob: str, task: str
) -> None:
    if (knob, task) == ("broken_next", "caption"):
        pytest.skip("any words are a caption")
    ollama.second.go_down()
    setattr(ollama.first.knobs, knob, 1)
    assert ollama.ask(task).status_code == 200
    assert len(ollama.sent()) == 2
    first, second = ollama.sent()
    assert first["prompt"] != second["prompt"]
    setattr(ollama.first.knobs, knob, -1)
    reply = ollama.ask(task)
    assert reply.status_code == 502
    assert task in reply.json()["error"]
    assert len(ollama.sent()) == 4


def test_a_name_that_no_server_knows_is_a_404_that_lists_what_there_is(ollama: Ollama) -> None:
    reply = ollama.ask("caption", model="unheard-of:1b")
    assert reply.status_code == 404
    assert "unheard-of:1b" in reply.json()["error"]
    assert "gemma3:4b, llava:7b" in reply.json()["error"]


def test_without_ollama_the_name_is_unknown(running: Ollama) -> None:
    base = running.stack.api(OLLAMA_ENABLED="false")
    body = {"model": "llava", "images": [data_url(plain(1))]}
    reply = requests.post(f"{base}{API}/caption", json=body, timeout=10)
    assert reply.status_code == 404
    assert "There is no model 'llava'" in reply.json()["error"]


def test_many_requests_use_both_servers_and_none_is_crossed(ollama: Ollama) -> None:
    for server in ollama.servers:
        server.knobs.token_s = 0.005
    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(ollama.caption, range(1, 25)))
    assert [text.partition(" 0 0")[0] for text in texts] == [f"rgb {red}" for red in range(1, 25)]
    shares = [len(server.generates()) for server in ollama.servers]
    assert min(shares) >= 6
    assert [server.most_active for server in ollama.servers] == [1, 1]


@pytest.mark.parametrize(
    "knobs",
    [
        {"fail_next": 1},
        {"fail_next": 1, "fail_at": "stream"},
        {"cut_next": 1},
        pytest.param({"hang_next": 1}, marks=pytest.mark.slow),
        pytest.param({"hang_next": 1, "hang_at": "stream"}, marks=pytest.mark.slow),
    ],
    ids=["500", "500-midway", "cut", "hang", "hang-midway"],
)
def test_a_request_moves_to_another_server_when_one_fails(
    ollama: Ollama, knobs: dict[str, Any]
) -> None:
    for server in ollama.servers:
        for name, value in knobs.items():
            setattr(server.knobs, name, value)
    assert ollama.caption(11).startswith("rgb 11 0 0")
    assert len(ollama.sent()) >= 2


def test_a_server_that_is_off_is_skipped_and_used_again_when_it_is_back(ollama: Ollama) -> None:
    ollama.first.go_down()
    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(ollama.caption, range(8)))) == 8

    def seen_down() -> bool | None:
        return not ollama.hosts()[ollama.first.url].up or None

    wait_for("the loss to be seen", seen_down, 20)
    ollama.first.come_back()

    def used_again() -> bool | None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(ollama.caption, range(8)))
        return bool(ollama.first.generates()) or None

    wait_for("the first server to be used", used_again, 20)


def test_a_server_that_has_the_model_loaded_is_preferred(ollama: Ollama) -> None:
    requests.post(
        f"{ollama.second.url}/api/generate", json={"model": "gemma3:4b", "stream": False}, timeout=5
    )
    requests.post(
        f"{ollama.first.url}/api/generate", json={"model": "gemma3:4b", "keep_alive": 0}, timeout=5
    )

    def known() -> bool | None:
        hosts = ollama.hosts()
        there = "gemma3:4b" in hosts[ollama.second.url].gpu_share
        return (there and "gemma3:4b" not in hosts[ollama.first.url].gpu_share) or None

    wait_for("what is loaded to be known", known, 20)
    for _ in range(3):
        ollama.caption(model="gemma3:4b")
    assert [len(server.generates()) for server in ollama.servers] == [0, 3]


def test_a_client_that_hangs_up_stops_the_generation(ollama: Ollama) -> None:
    for server in ollama.servers:
        server.knobs.token_s = 1.0
    before = ollama.first.aborted + ollama.second.aborted
    with pytest.raises(requests.Timeout):
        requests.post(
            f"{ollama.base}{API}/caption",
            json={"model": "llava:7b", "images": [data_url(plain(5))]},
            timeout=1,
        )

    def aborted() -> bool | None:
        return ollama.first.aborted + ollama.second.aborted > before or None

    wait_for("the server to stop", aborted, 10)


def test_the_worker_tells_operators_what_each_server_does(ollama: Ollama) -> None:
    ollama.caption()
    listed = requests.get(f"{ollama.base}{API}/models", timeout=5).json()["models"]
    row = next(model for model in listed if model["name"] == "ollama")
    assert row["served"]
    urls = {host["url"]: host for host in row["workers"][0]["hosts"]}
    assert set(urls) == {server.url for server in ollama.servers}
    assert all(host["up"] and set(host["models"]) == set(MODELS) for host in urls.values())
