"""One project per session, with the default set of services and Flower."""

import os
from collections.abc import Iterator

import pytest

from tests.conftest import shape
from tests.containers.project import (
    FLOWER_AUTH,
    KEY,
    UNREACHABLE,
    Project,
    engine_fault,
    free_ports,
)


@pytest.fixture(scope="session")
def engine() -> None:
    """Without a container engine, skip the tests, or fail them if COMPOSE_COMMAND names one."""
    if reason := engine_fault():
        required = "COMPOSE_COMMAND" in os.environ
        (pytest.fail if required else pytest.skip)(reason)


@pytest.fixture(scope="session")
def project(engine: None) -> Iterator[Project]:
    port = free_ports(5)
    project = Project(
        f"vision-test-{os.getpid()}",
        CAPTIONS_MODEL="blip",
        COMPOSE_PROFILES="flower",
        FLOWER_BASIC_AUTH=":".join(FLOWER_AUTH),
        OLLAMA_ENABLED="true",
        OLLAMA_HOST=UNREACHABLE,  # one test starts its worker
        REDIS_PASSWORD="letters1and2digits",
        VISION_API_KEYS=f"another-key,{KEY}",
        VISION_FLOWER_PORT=str(port + 4),
        VISION_HOST="127.0.0.1",
        VISION_MODELS="efficientnet-lite0,opennsfw,blip",
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
    """Once per test: a replaced container may be published on another port."""
    return project.base()


@pytest.fixture(scope="session")
def red_circle() -> bytes:
    return shape("red", "circle")
