"""What is to be done with an image before a model gets it, as data that crosses pipes."""

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict


class Prepared(NamedTuple):
    """What becomes of an image file."""

    content: bytes
    """RGB pixels row by row, 3 bytes each; or another file, if the preparation makes files."""
    width: int = 0
    height: int = 0
    """In pixels; 0 for files."""
    seconds: float = 0.0
    """How long it took."""
    whole: tuple[int, int] = (0, 0)
    """Width and height of what it was made of, where the model must know them."""


class Preparation(BaseModel):
    """A function that needs neither torch nor transformers, by its name, and its arguments.

    It is called as ``function(data, max_megapixels, **parameters)`` with the image file and
    ``VISION_MAX_MEGAPIXELS``, and returns :class:`Prepared`. It raises
    :class:`~shared.errors.VisionError` for a file that cannot be used.
    """

    model_config = ConfigDict(frozen=True)

    target: str
    """``module:function``."""
    parameters: Mapping[str, Any] = {}
    """Named arguments; JSON must be able to represent them."""

    def run(self, data: bytes, max_megapixels: float) -> Prepared:
        """Prepare one image file in this process.

        Raises:
            VisionError: the file cannot be used.
        """
        module, _, name = self.target.partition(":")
        prepared: Prepared = getattr(importlib.import_module(module), name)(
            data, max_megapixels, **self.parameters
        )
        return prepared
