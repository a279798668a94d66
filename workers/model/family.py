"""What a model family offers, and how one is loaded."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image
from pydantic import BaseModel, ConfigDict

from shared.catalog import FAMILIES, ModelSpec
from shared.messages import Caption, Label, Nsfw
from workers.model.protocol import Instructions


class LoadError(Exception):
    """The model cannot be loaded; the message tells the operator what to do."""


@dataclass(frozen=True)
class Answer:
    """What a model says of one image; what was not asked for is empty."""

    caption: Caption | None = None
    labels: tuple[Label, ...] = ()
    nsfw: Nsfw | None = None


@dataclass(frozen=True)
class LoadContext:
    """All that a family needs to load a model."""

    spec: ModelSpec
    folder: Path | None
    """Folder of the weights; ``None`` when they come with a Python package."""
    device: str
    torch_threads: int
    """CPU threads; 0 leaves it to the library."""


class FamilyParameters(BaseModel):
    """Base of a family's parameters in the catalogue; an unknown one is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class VisionModel(Protocol):
    """A loaded model. The constructor takes a :class:`LoadContext` and loads; the rest serves.

    Families say in their docstring what they do with a prompt.
    """

    def __init__(self, context: LoadContext) -> None:
        """Load the model; raises :class:`LoadError` with advice where it can give some."""

    def prepare(self, image: Image.Image) -> Any:  # noqa: ANN401 - the family's own input
        """Make one upright RGB image ready for :meth:`predict`, on the CPU."""

    def predict(self, batch: Sequence[Any], ask: Instructions) -> list[Answer]:
        """Answer for each prepared image, in order, what ``instructions.tasks`` names."""


def load_model(
    spec: ModelSpec, folder: Path | None, device: str, torch_threads: int
) -> VisionModel:
    """Import the family of ``spec`` and load the model.

    Raises:
        LoadError: with advice; any other exception is a fault of the weights or a bug.
    """
    module, _, name = FAMILIES[spec.family].target.partition(":")
    family: type[VisionModel] = getattr(importlib.import_module(f"workers.families.{module}"), name)
    return family(LoadContext(spec, folder, device, torch_threads))
