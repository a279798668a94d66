"""One row of ``models.yaml``: a model and the options of its workers."""

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    model_validator,
)

from shared.families import FAMILIES, OLLAMA
from shared.tasks.registry import Task
from shared.vocabulary import Priority


class Limits(BaseModel):
    """Limits on the load of one model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    queue: int = Field(
        256,
        ge=1,
        description="waiting messages of persons, and likewise those of bulk work; beyond that "
        "requests get 429",
    )
    timeout_s: float | None = Field(None, gt=0, lt=600, description="instead of VISION_TIMEOUT")


class EngineOptions(BaseModel):
    """How a worker runs its model process; the fields of ``engine`` in a row."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_batch: PositiveInt | Literal["auto"] = Field(
        "auto",
        description="most images in one batch; `auto`: `cpu_batch` on a CPU, and on an accelerator "
        "what is measured to be best",
    )
    cpu_batch: int = Field(8, ge=1, description="most images in one batch on a CPU")
    batch_target_s: float = Field(
        1, gt=0, description="with `auto`, seconds that a batch may take on an accelerator"
    )
    batch_timeout_s: float | None = Field(
        None, gt=0, description="seconds that batches may take, instead of VISION_BATCH_TIMEOUT_S"
    )
    recycle_images: int = Field(
        0, ge=0, description="replace the process after this many images; 0: never"
    )
    recycle_growth_mb: float = Field(
        2000, ge=0, description="replace the process when its memory has grown by more; 0: never"
    )
    slow_factor: float = Field(
        3,
        ge=0,
        description="replace the process when batches take this many times as long as at first; "
        "0: never",
    )
    slow_batches: int = Field(
        20, ge=1, description="number of batches whose median must be that slow"
    )
    keep_alive_s: float = Field(
        0, ge=0, description="unload the model after this long without work; 0: never"
    )
    standby: Literal["auto", "on", "off"] = Field(
        "auto",
        description="load a new process before the old one ends; `auto`: if memory allows",
    )
    max_failures: int = Field(
        5,
        ge=1,
        description="consecutive failures of the process until a test picture decides whether jobs "
        "are refused for a pause",
    )
    quarantine_s: float = Field(
        600,
        ge=0,
        validation_alias=AliasChoices("quarantine_s", "poison_s"),
        description="how long an image that ended the process is refused; formerly `poison_s`",
    )


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or path.name == "":
        msg = f"{name!r} is not a file inside the model's folder"
        raise ValueError(msg)
    return str(path)


FileName = Annotated[str, AfterValidator(_inside)]
"""A file inside the model's folder, and inside its repository."""


class ModelSpec(BaseModel):
    """One row of the catalogue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=64)
    family: str
    tasks: tuple[Task, ...] = ()
    aliases: tuple[str, ...] = ()
    version: str = "latest"
    source: str | None = None
    revision: str = "main"
    folder: str = ""
    files: tuple[FileName, ...] = ()
    """What the model consists of, for families that run single files; empty: a checkpoint."""
    resolution: int = Field(224, gt=0)
    limits: Limits = Limits()
    engine: EngineOptions = EngineOptions()
    parameters: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, row: Any) -> Any:  # noqa: ANN401 - whatever the YAML holds
        if isinstance(row, dict):
            family = FAMILIES.get(str(row.get("family", "")))
            if family is None:
                msg = f"unknown family {row.get('family')!r}; there are: {', '.join(FAMILIES)}"
                raise ValueError(msg)
            row = {
                "folder": row.get("name", ""),
                "tasks": sorted(family.default_tasks or family.tasks),
                **row,
            }
        return row

    @model_validator(mode="after")
    def _tasks_of_family(self) -> Self:
        impossible = set(self.tasks) - FAMILIES[self.family].tasks
        if impossible or not self.tasks:
            msg = f"{self.name}: family {self.family} does {sorted(FAMILIES[self.family].tasks)}"
            raise ValueError(msg)
        return self

    @property
    def queue_owner(self) -> str:
        """Name of the row whose workers serve this model: the same for all models of Ollama."""
        return OLLAMA if self.family == OLLAMA else self.name

    @property
    def queue(self) -> str:
        """Name of the model's Celery queue, which is the key of a list in Redis."""
        return f"vision.{self.queue_owner}"

    def queue_of(self, priority: Priority) -> str:
        """Return the name of the queue for persons, which is :attr:`queue`, or for bulk work."""
        return self.queue if priority is Priority.PERSON else f"{self.queue}:{priority}"
