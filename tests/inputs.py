"""Images as models get them, prepared in the tests' own process."""

import io
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from PIL import Image

from workers.model.family import VisionModel

if TYPE_CHECKING:  # most tests do without torch
    from workers.runtime.chat import ChatModel
    from workers.runtime.chat_inputs import Turn


def as_file(image: Image.Image) -> bytes:
    """Return an image as a PNG."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def prepared(model: "VisionModel | ChatModel", image: Image.Image | bytes) -> Any:
    """Return the model's input for an image."""
    data = as_file(image) if isinstance(image, Image.Image) else image
    return model.prepare(model.preparation.run(data, math.inf))


def shown(model: "ChatModel", turns: "Iterable[Turn]") -> "list[Turn]":
    """Return conversations with their images prepared for a model."""
    return [
        turn._replace(
            messages=[
                message._replace(images=[prepared(model, image) for image in message.images])
                for message in turn.messages
            ]
        )
        for turn in turns
    ]
