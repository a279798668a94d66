"""One project a session: built, started with the default set and Flower, taken down at the end."""

import os
from collections.abc import Iterator

import pytest

from tests.conftest import shape
from tests.containers.project import FLOWER_AUTH, KEY, NOBODY, Project, free_ports, why_not


@pytest.fixture(scope="session")
def engine() -> None:
    """Skip where no containers can be run; fail where somebody named the command that should."""
    if reason := why_not():
        asked = "COMPOSE_COMMAND" in os.environ
        (pytest.fail if asked else pytest.skip)(reason)


@pytest.fixture(scope="session")
def project(engine: None) -> Iterator[Project]:
    port = free_ports(5)
    project = Project(
        f"vision-test-{os.getpid()}",
        COMPOSE_PROFILES="flower",
        FLOWER_BASIC_AUTH=":".join(FLOWER_AUTH),
        OLLAMA_ENABLED="true",
        OLLAMA_HOST=NOBODY,  # its worker is started by the one test that asks it
        REDIS_PASSWORD="letters1and2digits",
        VISION_API_KEYS=f"another-key,{KEY}",
        VISION_FLOWER_PORT=str(port + 4),
        VISION_HOST="127.0.0.1",
        VISION_PORT=f"{port}-{port + 3}",  # two APIs, and two more while they are replaced
    )
    try:
        project.compose("build")
        project.up()
        yield project
    finally:
        project.compose("--profile", "*", "down", "--volumes", "--remove-orphans", check=False)
        left = project.containers()
    assert left == []


@pytest.fixture
def base(project: Project) -> str:
    """Anew for each test: a container that is replaced may be published on another port."""
    return project.base()


@pytest.fixture(scope="session")
def red_circle() -> bytes:
    return shape("red", "circle")
