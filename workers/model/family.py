"""What a model family offers, and how one is loaded."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from PIL import Image
from pydantic import BaseModel, ConfigDict

from shared.families import FAMILIES
from shared.messages import Instructions, Result
from shared.model_spec import ModelSpec
from shared.tasks.registry import Task, find_task

Answer = Mapping[Task, Any]
"""What a model says of one image, by task; what was not asked for may be there too."""


class LoadError(Exception):
    """The model cannot be loaded; the message tells the operator what to do."""


class LoadContext(NamedTuple):
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


class PreparedJob(NamedTuple):
    """A job whose images are ready for the model."""

    images: Sequence[Any]
    """What :meth:`VisionModel.prepare` made of each image, in order."""
    instructions: Instructions


class VisionModel(Protocol):
    """A loaded model. The constructor takes a :class:`LoadContext` and loads; the rest serves.

    Families say in their docstring what they do with a prompt.
    """

    def __init__(self, context: LoadContext) -> None:
        """Load the model; raises :class:`LoadError` with advice where it can give some."""

    def prepare(self, image: Image.Image) -> Any:  # noqa: ANN401 - the family's own input
        """Make one upright RGB image ready for :meth:`predict`, on the CPU."""

    def predict(self, jobs: Sequence[PreparedJob], max_images: int) -> list[Result]:
        """Answer each job, in order.

        Args:
            jobs: a batch, whose jobs have equal instructions.
            max_images: most images that the device should get at once. Only a batch of a single
                job has more; families may split it.
        """


class PerImageModel(ABC):
    """Base of families that look at each image by itself; a job of many images is split."""

    @abstractmethod
    def predict_images(self, images: Sequence[Any], instructions: Instructions) -> list[Answer]:
        """Answer for each prepared image, in order, what ``instructions.tasks`` names."""

    def predict(self, jobs: Sequence[PreparedJob], max_images: int) -> list[Result]:
        """Answer each job: see :meth:`VisionModel.predict`.

        Raises:
            RuntimeError: there are more or fewer answers than images.
        """
        instructions = jobs[0].instructions
        images = [image for job in jobs for image in job.images]
        answers: list[Answer] = []
        for start in range(0, len(images), max_images):
            answers += self.predict_images(images[start : start + max_images], instructions)
        if len(answers) != len(images):
            msg = f"{len(answers)} answers for {len(images)} images"
            raise RuntimeError(msg)
        answered = iter(answers)
        return [combine([next(answered) for _ in job.images], instructions.tasks) for job in jobs]


def combine(answers: Sequence[Answer], tasks: Sequence[Task]) -> Result:
    """Combine the answers for a job's images, in order, into its result, as each task has it."""
    combined = {
        task: find_task(task).combine([answer.get(task) for answer in answers]) for task in tasks
    }
    return Result({task: payload for task, payload in combined.items() if payload is not None})


def load_model(
    spec: ModelSpec, folder: Path | None, device: str, torch_threads: int
) -> VisionModel:
    """Import the family of ``spec`` and load the model.

    Raises:
        LoadError: with advice; any other exception is a fault of the weights or a bug.
    """
    module, _, name = FAMILIES[spec.family].target.partition(":")
    family: type[VisionModel] = getattr(importlib.import_module(module), name)
    return family(LoadContext(spec, folder, device, torch_threads))
