"""Questions about images, as OpenAI's client takes them."""

from typing import Any

from tests.conftest import data_url


def asks(text: str, *images: bytes | str) -> Any:
    """Return the messages of one question."""
    urls = [image if isinstance(image, str) else data_url(image) for image in images]
    parts = [{"type": "image_url", "image_url": {"url": url, "detail": "low"}} for url in urls]
    return [{"role": "user", "content": [{"type": "text", "text": text}, *parts]}]


def inputs(text: str, *images: bytes) -> Any:
    """Return the input of one question."""
    parts = [{"type": "input_image", "image_url": data_url(image)} for image in images]
    return [{"role": "user", "content": [{"type": "input_text", "text": text}, *parts]}]
