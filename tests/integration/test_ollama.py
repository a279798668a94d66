"""Ollama behind the queue: API, Redis and worker are real, the servers are stand-ins."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from PIL import Image

from tests.conftest import data_url, plain
from tests.ollama.service import MODELS, Ollama
from tests.ollama_standin import Spec
from tests.shared.images.files import encode
from tests.stack import API, wait_for


def test_a_model_that_is_not_in_the_catalogue_is_run_by_ollama(ollama: Ollama) -> None:
    reply = ollama.post("caption", 9).json()
    assert reply["result"]["caption"]["text"].startswith("rgb 9 0 0")
    assert reply["model"]["name"] == "llava"
    assert reply["model"]["version"] == "7b"
    assert ollama.sent()[-1]["model"] == "llava:7b"


def test_labels_and_nsfw_are_results(ollama: Ollama) -> None:
    labels = ollama.post("labels", 9).json()["result"]["labels"]
    assert labels[0]["name"]
    verdicts = ollama.post("nsfw", images=[data_url(plain(250)), data_url(plain(3))]).json()
    assert [entry["status"] for entry in verdicts["result"]["nsfw"]] == ["unsafe", "safe"]


def test_prompt_and_options_come_from_the_request_before_the_catalogue(
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


def test_a_prompt_that_is_too_large_for_a_message_arrives_as_a_whole(ollama: Ollama) -> None:
    prompt, system = "word " * 20_000, "x" * 100_000
    ollama.caption(model="gemma", prompt=prompt, system=system)
    (sent,) = ollama.sent()
    assert (sent["prompt"].strip(), sent["system"]) == (prompt.strip(), system)
    wait_for("nothing to be left", lambda: not ollama.stack.redis.keys("vision:job:*"))


def test_all_images_of_a_label_request_are_used(ollama: Ollama) -> None:
    crops = [data_url(plain(red)) for red in (1, 2, 3)]
    assert ollama.post("labels", images=crops).status_code == 200
    assert ollama.sent()[-1]["images"] == 3


def test_a_photo_of_60_megapixels_is_sent_to_ollama_at_a_reduced_size(ollama: Ollama) -> None:
    photo = encode(Image.new("RGB", (9504, 6336), (200, 30, 60)), "JPEG")
    reply = ollama.post("caption", images=[data_url(photo)]).json()
    assert reply["result"]["caption"]["text"].startswith("rgb 200 ")


def test_a_bad_image_among_others_is_left_out(ollama: Ollama) -> None:
    images = [data_url(plain(250)), data_url(plain(9)[:-30]), "", data_url(plain(3))]
    verdicts = ollama.post("nsfw", images=images).json()["result"]["nsfw"]
    assert [verdict["status"] for verdict in verdicts] == [
        "unsafe", "unavailable", "unavailable", "safe",
    ]  # fmt: skip
    assert ollama.post("labels", images=images[1:]).status_code == 200
    assert ollama.sent()[-1]["images"] == 1
    assert ollama.post("caption", images=images[1:3]).status_code == 422


def test_ollamas_own_api_takes_all_images_or_none(ollama: Ollama) -> None:
    whole, cut_off = (data_url(photo).rpartition(",")[2] for photo in (plain(9), plain(9)[:-30]))
    body = {"model": "llava:7b", "images": [whole, cut_off], "stream": False}
    reply = requests.post(f"{ollama.base}/api/generate", json=body, timeout=30)
    assert reply.status_code == 422


@pytest.mark.parametrize("knob", ["in_thinking", "fenced", "percent"])
def test_unusual_forms_of_an_answer_are_understood(ollama: Ollama, knob: str) -> None:
    for server in ollama.servers:
        setattr(server.knobs, knob, True)
    labels = ollama.post("labels", 9).json()["result"]["labels"]
    assert 0 < labels[0]["confidence"] <= 1


def test_a_name_that_no_server_knows_is_a_404_that_lists_the_models(ollama: Ollama) -> None:
    reply = ollama.post("caption", model="unheard-of:1b")
    assert reply.status_code == 404
    assert "unheard-of:1b" in reply.json()["error"]
    assert "gemma3:4b, llava:7b" in reply.json()["error"]


def test_without_ollama_the_model_is_unknown(running: Ollama) -> None:
    base = running.stack.api(OLLAMA_ENABLED="false")
    body = {"model": "llava", "images": [data_url(plain(1))]}
    reply = requests.post(f"{base}{API}/caption", json=body, timeout=10)
    assert reply.status_code == 404
    assert "There is no model 'llava'" in reply.json()["error"]


def test_many_requests_use_both_servers_and_get_their_own_answers(ollama: Ollama) -> None:
    for server in ollama.servers:
        server.knobs.token_s = 0.005
    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(ollama.caption, range(1, 25)))
    assert [text.partition(" 0 0")[0] for text in texts] == [f"rgb {red}" for red in range(1, 25)]
    counts = [len(server.generates()) for server in ollama.servers]
    assert min(counts) >= 6
    assert [server.most_active for server in ollama.servers] == [1, 1]


def test_a_server_that_has_the_model_loaded_is_preferred(ollama: Ollama) -> None:
    requests.post(
        f"{ollama.second.url}/api/generate",
        json={"model": "gemma3:4b", "stream": False},
        timeout=30,
    )
    requests.post(
        f"{ollama.first.url}/api/generate", json={"model": "gemma3:4b", "keep_alive": 0}, timeout=30
    )

    def known() -> bool:
        statuses = ollama.statuses()
        loaded = "gemma3:4b" in statuses[ollama.second.url].gpu_share
        return loaded and "gemma3:4b" not in statuses[ollama.first.url].gpu_share

    wait_for("the loaded models to be seen", known)
    for _ in range(3):
        ollama.caption(model="gemma3:4b")
    assert [len(server.generates()) for server in ollama.servers] == [0, 3]


def test_a_schema_and_thinking_reach_the_model(ollama: Ollama) -> None:
    schema = {"type": "object", "properties": {"labels": {"type": "array"}}}
    for server in ollama.servers:
        server.models["llava:7b"].spec = Spec(thinks=True)
    reply = ollama.post("labels", schema=schema, think=True)
    assert reply.json()["result"]["labels"]
    sent = ollama.sent()[-1]
    assert (sent["format"], sent["think"]) == (schema, True)
    ollama.post("labels", format="json")
    assert ollama.sent()[-1]["format"] == "json"


def test_operators_unload_and_reload_the_models_of_the_servers(ollama: Ollama) -> None:
    def command(name: str) -> list[str]:
        url = f"{ollama.base}{API}/models/ollama/{name}"
        workers: list[str] = requests.post(url, timeout=10).json()["workers"]
        return workers

    def loaded() -> set[str]:
        return {name for status in ollama.statuses().values() for name in status.gpu_share}

    def unloads() -> int:
        return sum(server.unloads.total() for server in ollama.servers)

    ollama.caption()
    wait_for("the load to be seen", lambda: "llava:7b" in loaded())
    assert len(command("unload")) == 1
    wait_for("the unload", lambda: not loaded())
    ollama.caption()
    wait_for("the load to be seen", lambda: "llava:7b" in loaded())

    def healed() -> int:
        return sum(status.heals.get("healed", 0) for status in ollama.statuses().values())

    before, healed_before = unloads(), healed()
    assert len(command("recycle")) == 1
    wait_for("the reload", lambda: healed() > healed_before)
    assert unloads() > before


def test_operators_see_the_status_of_each_server(ollama: Ollama) -> None:
    ollama.caption()
    listed = requests.get(f"{ollama.base}{API}/models", timeout=30).json()["models"]
    row = next(model for model in listed if model["name"] == "ollama")
    assert row["served"]
    statuses = row["workers"][0]["hosts"]
    assert {status["url"] for status in statuses} == {server.url for server in ollama.servers}
    assert all(status["up"] and set(status["models"]) == set(MODELS) for status in statuses)
