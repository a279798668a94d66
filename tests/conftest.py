"""Fixtures: one real stack per session, and samples."""

import base64
import io
from collections.abc import Iterator

import pytest
from PIL import Image

from scripts.tiny_checkpoints import shapes
from tests.stack import SAMPLES, Stack, running_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="session")
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
    """An image of one colour, which the fake model answers with."""
    return png(Image.new("RGB", (8, 8), (red, green, blue)))


def shape(colour: str, kind: str, seed: int = 1) -> bytes:
    """A picture that the tiny checkpoints were trained to describe."""
    return png(shapes.draw(seed, colour=colour, shape=kind).image)


def data_url(image: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(image).decode()}"
