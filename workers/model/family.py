"""The interface of a model family, and how a model is loaded."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict

from shared.errors import VisionError
from shared.families import FAMILIES
from shared.messages import Instructions, Result
from shared.model_spec import ModelSpec
from shared.ollama_settings import OllamaSettings
from shared.tasks.registry import Task, find_task
from workers.preparing.preparation import Preparation, Prepared

Answer = Mapping[Task, Any]
"""A model's answers for one image, by task; tasks that were not requested may be included."""


MAX_CAUSE_CHARS = 160


class LoadError(Exception):
    """The model cannot be loaded; the message tells an operator what to do."""

    def __init__(self, message: str, retry_in_s: float = 0.0) -> None:
        """State the cause.

        Args:
            message: whole sentences for an operator.
            retry_in_s: fewest seconds until the next try, where trying costs others something.
        """
        super().__init__(message)
        self.retry_in_s = retry_in_s


class PartDamaged(LoadError):
    """Something beside the weights is damaged or missing, which may be fetched again."""

    def __init__(self, message: str, files: Iterable[str]) -> None:
        """State the cause.

        Args:
            message: whole sentences for an operator.
            files: names or patterns of the files that the part is made of.
        """
        super().__init__(message)
        self.files = tuple(files)


def brief(err: BaseException) -> str:
    """Return an exception's type and the beginning of its message, in one line."""
    return f"{type(err).__name__}: {' '.join(str(err).split())}"[:MAX_CAUSE_CHARS].rstrip(".")


class LoadContext(NamedTuple):
    """Everything that a family needs to load a model."""

    spec: ModelSpec
    folder: Path | None
    """Folder of the weights; ``None`` when they come with a Python package."""
    device: str
    torch_threads: int
    """CPU threads that the settings ask for; 0: none in particular."""
    environment: OllamaSettings | None = None
    """The operator's prompts for all models that chat; ``None``: there are none."""
    share_of_cores: int = 1
    """The cores of this machine, divided among its models."""
    report: Callable[[str], None] = lambda _: None
    """Tells people what takes long while the model is loaded, and that it still goes on."""

    @property
    def small_model_threads(self) -> int:
        """CPU threads of a model that takes milliseconds, and so is often busy beside others."""
        return self.torch_threads or self.share_of_cores


class FamilyParameters(BaseModel):
    """Base of the ``parameters`` of a family's catalogue rows; unknown ones are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PreparedJob(NamedTuple):
    """A job whose images are model inputs."""

    images: Sequence[Any]
    """The return value of :meth:`VisionModel.prepare` for each image, in order."""
    instructions: Instructions


class VisionModel(Protocol):
    """A loaded model: the constructor takes a :class:`LoadContext` and loads it.

    The docstring of each family says what it does with a prompt.
    """

    def __init__(self, context: LoadContext) -> None:
        """Load the model.

        Raises:
            LoadError: the cause is known, and the message gives advice.
        """

    @property
    def preparation(self) -> Preparation:
        """What is done with each image file, in another process."""

    def prepare(self, image: Prepared) -> Any:  # noqa: ANN401 - the family's own input
        """Turn what the preparation made of one image into an input of :meth:`predict`.

        It is called right before that, in the same thread, so it should cost next to nothing.
        """

    def predict(self, jobs: Sequence[PreparedJob], max_images: int) -> list[Result]:
        """Answer each job, in order.

        Args:
            jobs: a batch, whose jobs have equal instructions, but for their wording if the family
                mixes prompts.
            max_images: most images that the device should get at once. Only a batch of a single
                job may have more; the family may split it.
        """


class GeneratingModel:
    """Base of families that write text, or that know more of their device than torch does."""

    steps: int = 0
    """Tokens that were generated one after the other so far, those of a batch at once; families
    that write text count them, as the time of a batch depends on it."""

    accelerator = ""
    """Name of the device if only the family knows it; empty: torch's GPU if it is in use."""

    def check(self, instructions: Instructions) -> None:
        """Refuse a job that cannot be answered as it is asked.

        Raises:
            VisionError: the message says why.
        """

    @property
    def acceleration(self) -> str:
        """How the model is accelerated beyond its device, or why not, for people; empty: it isn't.

        It may change with the first batches.
        """
        return ""


class RefusingModel(GeneratingModel, ABC):
    """Base of families that may refuse one job of a batch only when they see all of its input."""

    @abstractmethod
    def predict_or_refuse(
        self, jobs: Sequence[PreparedJob], max_images: int
    ) -> list[Result | VisionError]:
        """Answer each job, in order, or return why it alone cannot be answered."""

    def predict(self, jobs: Sequence[PreparedJob], max_images: int) -> list[Result]:
        """Answer each job: see :meth:`VisionModel.predict`.

        Raises:
            VisionError: a job cannot be answered.
        """
        results: list[Result] = []
        for answer in self.predict_or_refuse(jobs, max_images):
            if isinstance(answer, VisionError):
                raise answer
            results.append(answer)
        return results


class PerImageModel(GeneratingModel, ABC):
    """Base of families that answer for each image by itself; large jobs are split."""

    @property
    def first_batches(self) -> Sequence[int]:
        """Sizes of batches that cost more the first times, in the order to run them while loading.

        Those that are repeated need more than one call.
        """
        return ()

    @abstractmethod
    def predict_images(self, images: Sequence[Any], instructions: Instructions) -> list[Answer]:
        """Answer the tasks of ``instructions`` for each prepared image, in order."""

    def predict(self, jobs: Sequence[PreparedJob], max_images: int) -> list[Result]:
        """Answer each job: see :meth:`VisionModel.predict`.

        Raises:
            RuntimeError: the number of answers differs from the number of images.
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
    """Combine the answers for a job's images, in order, into its result, each task in its way."""
    combined = {
        task: find_task(task).combine([answer.get(task) for answer in answers]) for task in tasks
    }
    return Result({task: payload for task, payload in combined.items() if payload is not None})


def load_model(context: LoadContext) -> VisionModel:
    """Import the family of a model and load it.

    Raises:
        LoadError: the cause is known. Any other exception is a fault of the weights or a bug.
    """
    module, _, name = FAMILIES[context.spec.family].target.partition(":")
    family: type[VisionModel] = getattr(importlib.import_module(module), name)
    return family(context)
