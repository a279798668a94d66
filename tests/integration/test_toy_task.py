"""A task that is registered in one place works in the real stack: no other file names it."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.conftest import data_url, plain
from tests.stack import API, ROOT, TESTS, Stack, running_stack, wait_for

TOY = TESTS / "toy"
PHOTOS = {"same": [plain(9), plain(9)], "different": [plain(9), plain(8)]}


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, str]]:
    environment = {
        "PYTHONPATH": f"{TOY}:{ROOT}",
        "VISION_CATALOG": str(TOY / "models.yaml"),
        "VISION_MODELS": "toy,fake",
    }
    with running_stack(tmp_path_factory.mktemp("toys"), **environment) as stack:
        for model in ("toy", "fake"):
            stack.another_worker(model)
        api = stack.api()

        def served() -> bool:
            rows = requests.get(f"{api}{API}/models", timeout=10).json()["models"]
            return all(row["served"] and row["workers"][0]["consuming"] for row in rows)

        wait_for("the toy's worker", served)
        yield stack, api


def ask(api: str, path: str, photos: str = "same", **fields: Any) -> requests.Response:
    body = {"images": [data_url(photo) for photo in PHOTOS[photos]], "prompt": "hm?", **fields}
    return requests.post(f"{api}{API}{path}", json=body, timeout=30)


@pytest.mark.parametrize("path", ["/compare", "/diff", "/compare/toy", "/diff/comparer/latest"])
@pytest.mark.parametrize("photos", PHOTOS)
def test_its_routes_answer_from_all_images_of_the_request(
    toys: tuple[Stack, str], path: str, photos: str
) -> None:
    reply = ask(toys[1], path, photos)
    assert reply.status_code == 200, reply.text
    assert reply.json()["result"] == {
        "compare": {"same": photos == "same", "instructions": "hm?||"}
    }
    assert reply.json()["model"]["type"] == "compare"


def test_it_sees_only_the_images_that_can_be_read(toys: tuple[Stack, str]) -> None:
    photos = [plain(9), plain(8, 200, 7)[:-30], b"", plain(9)]
    reply = ask(toys[1], "/compare", images=[data_url(photo) for photo in photos])
    assert reply.status_code == 200, reply.text
    assert reply.json()["result"]["compare"]["same"]


def test_a_family_that_chats_gets_the_system_prompt_and_the_schema(
    toys: tuple[Stack, str],
) -> None:
    reply = ask(toys[1], "/compare", system="Be brief.", schema={"type": "object"})
    assert reply.json()["result"]["compare"]["instructions"] == "hm?|Be brief.|type"


def test_the_base_route_leaves_it_out(toys: tuple[Stack, str]) -> None:
    assert set(ask(toys[1], "").json()["result"]) == {"caption", "labels", "nsfw"}


def test_without_its_prompt_it_is_a_bad_request(toys: tuple[Stack, str]) -> None:
    reply = ask(toys[1], "/compare", prompt="")
    assert (reply.status_code, reply.json()["error"]) == (400, "compare needs a `prompt`.")


def test_it_is_refused_for_models_that_do_not_offer_it(toys: tuple[Stack, str]) -> None:
    reply = ask(toys[1], "/compare/fake")
    assert reply.status_code == 404
    assert "fake does not do compare" in reply.json()["error"]


def test_clients_of_ollamas_api_get_it_as_text_or_as_data(toys: tuple[Stack, str]) -> None:
    images = [data_url(photo).partition(",")[2] for photo in PHOTOS["different"]]
    body = {"model": "toy", "prompt": "hm?", "images": images, "stream": False}
    url = f"{toys[1]}/api/generate"
    assert requests.post(url, json=body, timeout=30).json()["response"] == "different"
    data = requests.post(url, json={**body, "format": "json"}, timeout=30).json()["response"]
    assert data == '{"compare": {"same": false, "instructions": "hm?||type"}}'


def test_openapi_metrics_and_the_list_of_models_have_it(toys: tuple[Stack, str]) -> None:
    stack, api = toys
    assert ask(api, "/compare").ok
    document = requests.get(f"{api}/openapi.json", timeout=10).json()
    result = document["components"]["schemas"]["Result"]
    assert set(result["properties"]) == {
        "caption", "labels", "nsfw", "embeddings", "answer", "compare",
    }  # fmt: skip
    metrics = requests.get(f"{api}/metrics", timeout=10).text
    assert 'vision_requests_total{model="toy",status="200",task="compare"}' in metrics
    rows = requests.get(f"{api}{API}/models", timeout=10).json()["models"]
    assert [row["default_for"] for row in rows if row["name"] == "toy"] == [["compare"]]
    assert '"tasks": "compare"' in stack.processes.logs("worker-toy")
