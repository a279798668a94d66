"""Fixtures and helpers for all tests: one real stack per session, and images."""

import base64
import gc
import io
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.stack import SAMPLES, TESTS, Processes, Stack, running_stack
from tests.stack_groups import group_of
from tools.tiny_checkpoints import shapes

if TYPE_CHECKING:  # GPU machines often have no xdist
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

OF_A_SERVICE = ("VISION_", "OLLAMA_", "PHOTOPRISM_")
"""Variables of a service that runs beside the tests, such as one of ``make run``."""
OF_A_TERMINAL = ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR")
"""Variables that say how text is shown there."""
SHARED_STACKS = pytest.StashKey[list[Stack]]()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: "Producer") -> "LoadScopeScheduling":
    """Tests that share a stack run in the same process."""
    from tests.scheduling import StackScheduling

    return StackScheduling(config, log)


def pytest_configure() -> None:
    """Have stacks start quickly; benchmarks, which use them too, start each as its users do."""
    Processes.forks = True
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As in the background of a script: commands that tests start would ignore it, too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.disable()  # while tests are collected, which makes no garbage to speak of


def pytest_sessionstart() -> None:
    """Have tests begin alike, whatever the shell has that starts them; pytest has looked at it."""
    for name in list(os.environ):
        if name.upper().startswith(OF_A_SERVICE) or name in OF_A_TERMINAL:
            del os.environ[name]


def pytest_collection_finish() -> None:
    """Leave what was collected alone: all of it would be looked through at each ``gc.collect()``.

    That takes half a second, and ours, each time that a model is loaded or has failed.
    """
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have tests that share a stack follow each other, in one process as in several."""
    order: dict[str, int] = {}
    for item in items:
        order.setdefault(group_of(module_of(item)), len(order))
    items.sort(key=lambda item: order[group_of(module_of(item))])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """After the last test of those that share a stack, stop its processes, which would idle on."""
    yield
    if nextitem and group_of(module_of(nextitem)) != group_of(module_of(item)):
        for stack in item.config.stash.get(SHARED_STACKS, []):
            stack.rest()


def module_of(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


@pytest.fixture(scope="session")
def shared_stacks(pytestconfig: pytest.Config) -> list[Stack]:
    """Stacks that tests of several modules use; their processes start when they are needed."""
    return pytestconfig.stash.setdefault(SHARED_STACKS, [])


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, shared_stacks: list[Stack]) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        shared_stacks.append(running)
        yield running


@pytest.fixture(scope="module")
def api(stack: Stack) -> str:
    return stack.api()


@pytest.fixture(scope="session")
def cat() -> bytes:
    return (SAMPLES / "cat.jpg").read_bytes()


@pytest.fixture(scope="session")
def coffee() -> bytes:
    return (SAMPLES / "coffee.jpg").read_bytes()


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def plain(red: int, green: int = 0, blue: int = 0) -> bytes:
    """An image of one colour, which the fake model answers."""
    return png(Image.new("RGB", (8, 8), (red, green, blue)))


def shape(colour: str, kind: str, seed: int = 1) -> bytes:
    """A picture that the tiny checkpoints were trained to describe."""
    return png(shapes.draw(seed, colour=colour, shape=kind).image)


def timm_checkpoint(folder: Path) -> Path:
    """A checkpoint of a model that transformers runs through timm, as Freepik's detector is."""
    shutil.copytree(TESTS / "checkpoints" / "vit-classifier", folder)
    (folder / "config.json").write_text(
        '{"model_type": "timm_wrapper", "architecture": "eva02_base_patch14_448", '
        '"architectures": ["TimmWrapperForImageClassification"], "num_classes": 4}'
    )
    (folder / "preprocessor_config.json").write_text(
        '{"image_processor_type": "TimmWrapperImageProcessor"}'
    )
    return folder


def data_url(image: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(image).decode()}"
