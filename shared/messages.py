"""What crosses the queue: a job to the worker, a result back. JSON both ways, no image bytes."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shared.vocabulary import NsfwStatus, OllamaCall, OperatorCommand, Task

JsonObject = dict[str, Any]

TASK_NAMES = {task: f"vision.{task}" for task in Task}
CALL_NAMES = {call: f"vision.ollama_{call}" for call in OllamaCall if call != OllamaCall.VISION}
DESCRIBE = "vision.describe"
"""Name of the Celery task of a request for several answers at once; names are a wire format."""

UnitInterval = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
"""A probability or share: Go refuses NaN, and PhotoPrism expects 0 to 1."""


def clamp01(value: float) -> float:
    """Return a :data:`UnitInterval` of a number that rounding may have pushed out of 0 to 1."""
    return round(min(max(value, 0.0), 1.0), 4)


def command_name(command: OperatorCommand) -> str:
    """Return the name of the Celery remote control command."""
    return f"vision_{command}"


StopWord = Annotated[str, Field(max_length=64)]
"""Short and few: matching them costs a pass over the vocabulary for each character."""


def _not_tiny(temperature: float) -> float:
    """Keep logits finite when they are divided by the temperature; 0 means greedy."""
    return max(temperature, 0.01) if temperature > 0 else temperature


class Options(BaseModel):
    """Generation options, named as Ollama names them; those not listed only Ollama understands."""

    model_config = ConfigDict(extra="allow", frozen=True)

    temperature: Annotated[float, AfterValidator(_not_tiny)] | None = Field(
        None, ge=0, le=100, allow_inf_nan=False
    )
    top_k: int | None = Field(None, ge=0)
    top_p: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    seed: int | None = None
    num_predict: int | None = Field(None, description="most tokens to generate; below 1: default")
    repeat_penalty: float | None = Field(None, ge=0.01, le=10, allow_inf_nan=False)
    stop: Annotated[tuple[StopWord, ...], Field(max_length=8)] | StopWord | None = None

    @property
    def known(self) -> "Options":
        """Those that models of our own understand."""
        if not self.model_extra:
            return self
        return Options(**self.model_dump(include=set(Options.model_fields), exclude_unset=True))


class OllamaInstructions(BaseModel):
    """What a job says to Ollama beside what all models understand."""

    model_config = ConfigDict(frozen=True)

    model: str = Field("", description="the model as Ollama knows it")
    call: OllamaCall = OllamaCall.VISION
    body: dict[str, Any] = Field(
        {},
        description="fields as the client sent them; images of chat messages are numbers that "
        "point into the job's images",
    )
    stream: bool = Field(default=False, description="pass the reply on while it is made")


class Job(BaseModel):
    """One request as a worker sees it."""

    model_config = ConfigDict(frozen=True)

    request_id: str
    tasks: tuple[Task, ...] = ()
    images: tuple[str, ...] = Field((), description="Redis keys of the encoded images, in order")
    prompt: str = ""
    options: Options = Options()
    ollama: OllamaInstructions | None = None
    deadline: float = Field(description="seconds since the epoch; later nobody waits")


def task_name(job: Job) -> str:
    """Return the name of the Celery task that does a job; operators see it in Flower."""
    if job.ollama and job.ollama.call in CALL_NAMES:
        return CALL_NAMES[job.ollama.call]
    return TASK_NAMES[job.tasks[0]] if len(job.tasks) == 1 else DESCRIBE


class Caption(BaseModel):
    """One sentence on an image."""

    text: str
    source: str = "image"
    confidence: UnitInterval | None = None
    composed_from: str | None = Field(
        None, description="`labels` when the text was put together from labels, not generated"
    )


class Label(BaseModel):
    """One label; field names and types are PhotoPrism's."""

    name: str
    source: str = "image"
    priority: int = 0
    confidence: UnitInterval
    topicality: UnitInterval = 0.0
    categories: tuple[str, ...] = ()


class Nsfw(BaseModel):
    """Verdict on one image. Class scores are there only where the model tells the classes apart."""

    status: NsfwStatus
    score: UnitInterval | None = Field(None, description="probability that the image is not safe")
    threshold: UnitInterval | None = Field(None, description="scores from here on are unsafe")
    reason: str | None = Field(None, description="why there is no verdict")
    drawing: UnitInterval | None = Field(None, serialization_alias="Drawing")
    hentai: UnitInterval | None = Field(None, serialization_alias="Hentai")
    neutral: UnitInterval | None = Field(None, serialization_alias="Neutral")
    porn: UnitInterval | None = Field(None, serialization_alias="Porn")
    sexy: UnitInterval | None = Field(None, serialization_alias="Sexy")


class Result(BaseModel):
    """Answers to one job. ``nsfw`` has one entry per image, in order."""

    caption: Caption | None = None
    labels: tuple[Label, ...] | None = None
    nsfw: tuple[Nsfw, ...] | None = None


class Outcome(Result):
    """What a worker sends back."""

    raw: dict[str, Any] | None = Field(None, description="Ollama's reply, where one was asked for")
