"""Labels from a vocabulary, through the real API, queue and worker."""

import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import data_url, shape
from tests.stack import API, TESTS, Stack, running_stack, wait_for

MODEL = "siglip2"
WORDS = "[colour]\nred | crimson\nblue\nwhite\nsteel | grey\n"


class Served:
    """A stack with one zero-shot model, and the folder of its weights and vocabulary."""

    def __init__(self, stack: Stack, models: Path) -> None:
        self.stack, self.models, self.url = stack, models, stack.api()
        stack.worker(MODEL)

    def labels(self, *pictures: bytes) -> list[dict[str, Any]]:
        body = {"images": [data_url(picture) for picture in pictures]}
        reply = requests.post(f"{self.url}{API}/labels/{MODEL}", json=body, timeout=60)
        assert reply.status_code == 200, reply.text
        return list(reply.json()["result"]["labels"])

    def names(self, *pictures: bytes) -> set[str]:
        return {label["name"] for label in self.labels(*pictures)}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    models = tmp_path_factory.mktemp("models")
    shutil.copytree(TESTS / "checkpoints" / MODEL, models / MODEL)
    (models / "words.txt").write_text(WORDS)
    settings = {"VISION_MODELS_DIR": str(models), "VISION_MODELS": MODEL}
    with running_stack(tmp_path_factory.mktemp("stack"), **settings) as stack:
        yield Served(stack, models)


def test_labels_are_those_of_the_vocabulary_with_their_categories(served: Served) -> None:
    (found,) = served.labels(shape("red", "circle"))
    assert (found["name"], found["categories"]) == ("red", ["colour"])
    assert found["confidence"] >= 0.5


def test_many_clients_get_the_labels_of_their_own_pictures(served: Served) -> None:
    from concurrent.futures import ThreadPoolExecutor

    pictures = [(c, s) for c in ("red", "blue", "white") for s in ("circle", "square", "triangle")]
    with ThreadPoolExecutor(9) as pool:
        found = list(pool.map(lambda pair: served.names(shape(*pair)), pictures))
    assert found == [{colour} for colour, _ in pictures]


def test_the_embeddings_of_the_vocabulary_are_kept_beside_the_weights(served: Served) -> None:
    kept = [str(path) for path in (served.models / f"{MODEL}.embeddings").iterdir()]
    log = served.stack.processes.logs(f"worker-{MODEL}")
    assert kept
    assert [path for path in kept if path not in log] == []


def test_a_changed_vocabulary_is_read_when_the_model_is_recycled(served: Served) -> None:
    for words, name in (("scarlet | red\nblue\n", "scarlet"), (WORDS, "red")):
        (served.models / "words.txt").write_text(words)
        reply = requests.post(f"{served.url}{API}/models/{MODEL}/recycle", timeout=60)
        assert reply.ok, reply.text
        wait_for("the new vocabulary", partial(says, served, name))


def says(served: Served, name: str) -> bool:
    return served.names(shape("red", "circle")) == {name}


@pytest.mark.slow
def test_a_broken_vocabulary_is_told_with_its_line(served: Served) -> None:
    good = (served.models / "words.txt").read_text()
    (served.models / "words.txt").write_text("circle\nCircle\n")
    requests.post(f"{served.url}{API}/models/{MODEL}/recycle", timeout=60)

    def told() -> bool:
        rows = requests.get(f"{served.url}{API}/models", timeout=10).json()
        return "broken in line 2" in json.dumps(rows) + served.stack.processes.logs(
            f"worker-{MODEL}"
        )

    wait_for("the number of the line", told)
    (served.models / "words.txt").write_text(good)
