"""Messages on the pipe between a worker and its model process: JSON and raw pixels.

No pickle: what strangers sent has an influence on the model process, which must not be able to send
the worker objects that run code.

Parent to child: ``Hold`` and ``Run`` (with images), ``Forget``.
Child to parent: ``StateReport`` while it loads, then one ``BatchReport`` for each ``Run``.
"""

from multiprocessing.connection import Connection
from typing import Annotated, Literal

from pydantic import BaseModel, Field, TypeAdapter

from shared.messages import Instructions, Result
from shared.vocabulary import WorkerState
from workers.model.energy import Card
from workers.model.memory import Memory
from workers.preparing.frames import receive
from workers.preparing.preparation import Preparation, Prepared


class Hold(BaseModel):
    """Keep the prepared images of a job, which will be run soon."""

    kind: Literal["hold"] = "hold"
    job: str
    sizes: tuple[tuple[int, int], ...] = Field(description="width and height of each image")
    wholes: tuple[tuple[int, int], ...] = Field(description="of what each was made; 0: not known")


class Run(BaseModel):
    """Run the model over jobs whose images it has, or gets with this message."""

    kind: Literal["run"] = "run"
    new: tuple[Hold, ...] = Field(description="of the jobs whose images come with it")
    jobs: tuple[str, ...]
    instructions: tuple[Instructions, ...] = Field(description="of each job")
    max_images: int = Field(description="most images that the model gets at once")


class Forget(BaseModel):
    """A job whose images it has will not be run."""

    kind: Literal["forget"] = "forget"
    job: str


class ModelFacts(BaseModel):
    """What is known of a model once it is ready."""

    per_image: bool = Field(default=False, description="it answers for each image by itself")
    device: str = Field("", description="name of its device, for people")
    on_accelerator: bool = Field(default=False, description="its device is no CPU")
    preparation: Preparation | None = Field(None, description="how it wants its images")


class StateReport(BaseModel):
    """State of a process that loads its model."""

    kind: Literal["state"] = "state"
    state: WorkerState
    reason: str = ""
    retry_in_s: float = Field(0.0, description="fewest seconds until a failed load is tried again")
    memory: Memory = Memory()
    facts: ModelFacts = ModelFacts()


class JobError(BaseModel):
    """Why a job failed: the name of a class in :mod:`shared.errors`, and its message."""

    error: str
    message: str


class BatchReport(BaseModel):
    """Outcome of a batch: one per job, in order, or a fault that concerns all jobs."""

    kind: Literal["batch"] = "batch"
    outcomes: tuple[Result | JobError, ...] = ()
    fault: Literal["", "out_of_memory", "device"] = ""
    images: int = 0
    steps: int = Field(0, description="tokens generated one after the other; 0: unknown")
    seconds: float = 0.0
    alone_seconds: float = Field(0.0, description="what they would have been on an idle host")
    acceleration: str = Field("", description="how the model is accelerated, or why not")
    memory: Memory
    card: Card = Card()


ModelCommand = Annotated[Hold | Run | Forget, Field(discriminator="kind")]
Report = Annotated[StateReport | BatchReport, Field(discriminator="kind")]
_model_command: TypeAdapter[ModelCommand] = TypeAdapter(ModelCommand)
_report: TypeAdapter[Report] = TypeAdapter(Report)


def receive_command(pipe: Connection) -> tuple[Hold | Run | Forget, dict[str, list[Prepared]]]:
    """Wait for a command, and the images of the jobs that come with it.

    Raises:
        EOFError: the parent is gone.
    """
    text, contents = receive(pipe)
    command = _model_command.validate_json(text)
    new: tuple[Hold, ...] = ()
    if isinstance(command, Hold):
        new = (command,)
    elif isinstance(command, Run):
        new = command.new
    images = iter(contents)
    return command, {
        hold.job: [
            Prepared(next(images), *size, whole=whole)
            for size, whole in zip(hold.sizes, hold.wholes, strict=True)
        ]
        for hold in new
    }


def receive_report(pipe: Connection) -> StateReport | BatchReport:
    """Wait for a report.

    Raises:
        EOFError: the child is gone.
    """
    text, _ = receive(pipe)
    return _report.validate_json(text)
