"""Messages on the pipe between a worker and its model process: JSON and raw pixels.

No pickle: what strangers sent has an influence on the model process, which must not be able to send
the worker objects that run code.

Parent to child: ``Hold`` (followed by the images, one frame each), ``Run``, ``Forget``.
Child to parent: ``StateReport`` while it loads, then one ``BatchReport`` for each ``Run``.
"""

from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Annotated, Literal

from pydantic import BaseModel, Field, TypeAdapter

from shared.messages import Instructions, Result
from shared.vocabulary import WorkerState
from workers.model.memory import Memory
from workers.preparing.preparation import Preparation, Prepared


class Hold(BaseModel):
    """Keep the prepared images of a job, which will be run soon."""

    kind: Literal["hold"] = "hold"
    job: str
    sizes: tuple[tuple[int, int], ...] = Field(description="width and height of each image")


class Run(BaseModel):
    """Run the model over jobs whose images it has."""

    kind: Literal["run"] = "run"
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


ModelCommand = Annotated[Hold | Run | Forget, Field(discriminator="kind")]
Report = Annotated[StateReport | BatchReport, Field(discriminator="kind")]
_model_command: TypeAdapter[ModelCommand] = TypeAdapter(ModelCommand)
_report: TypeAdapter[Report] = TypeAdapter(Report)


def send(pipe: Connection, message: BaseModel, images: Sequence[bytes] = ()) -> None:
    """Send a message, followed by its images."""
    pipe.send_bytes(message.model_dump_json().encode())
    for image in images:
        pipe.send_bytes(image)


def receive_command(pipe: Connection) -> tuple[Hold | Run | Forget, list[Prepared]]:
    """Wait for a command and its images.

    Raises:
        EOFError: the parent is gone.
    """
    command = _model_command.validate_json(pipe.recv_bytes())
    sizes = command.sizes if isinstance(command, Hold) else ()
    return command, [Prepared(pipe.recv_bytes(), *size) for size in sizes]


def receive_report(pipe: Connection) -> StateReport | BatchReport:
    """Wait for a report.

    Raises:
        EOFError: the child is gone.
    """
    return _report.validate_json(pipe.recv_bytes())
