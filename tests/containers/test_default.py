"""compose.yaml without any variables: no password, no keys, no profile, no settings."""

import os
from collections.abc import Iterator

import pytest
import requests

from tests.conftest import data_url
from tests.containers.project import Project, free_ports
from tests.stack import API

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def default(project: Project) -> Iterator[Project]:
    """With a port of its own, as 5000 may be in use; `project` has built the images."""
    name, port = f"vision-default-{os.getpid()}", str(free_ports(1))
    default = Project(name, "compose.yaml", VISION_PORT=port)
    try:
        default.up("redis", "api", "worker-labels")
        yield default
    finally:
        default.compose("down", "--volumes", check=False)


def test_it_answers_requests_without_a_key(default: Project, cat: bytes) -> None:
    body = {"images": [data_url(cat)]}
    reply = requests.post(f"{default.base()}{API}/labels", json=body, timeout=60)
    assert reply.json()["result"]["labels"][0]["name"] == "cat"


def test_readyz_names_the_models_without_a_worker(default: Project) -> None:
    ready = requests.get(f"{default.base()}/readyz", timeout=10).json()
    assert ready["models"] == {"smolvlm2": "no worker", "opennsfw": "no worker"}
