"""Messages on the queue: a job to a worker, and its result. JSON, without image bytes."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    RootModel,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema

from shared.errors import VisionError, error_named
from shared.options import Options
from shared.tasks.registry import Task, all_tasks, find_task, task_names
from shared.text import WellFormed
from shared.vocabulary import OllamaCall, OperatorCommand, Priority

JsonObject = dict[str, Any]

CALL_NAMES = {call: f"vision.ollama_{call}" for call in OllamaCall if call != OllamaCall.VISION}
"""Names of the Celery tasks for requests in Ollama's own API."""
SEVERAL_TASKS = "vision.describe"
"""Name of the Celery task for a request with several vision tasks. API and workers of different
versions may share a queue, so these names are fixed."""


def command_name(command: OperatorCommand) -> str:
    """Return the name of the Celery remote control command."""
    return f"vision_{command}"


class OllamaInstructions(BaseModel):
    """The part of a job that is for Ollama's servers only."""

    model_config = ConfigDict(frozen=True)

    model: str = Field("", description="the model as Ollama knows it")
    call: OllamaCall = OllamaCall.VISION
    body: dict[str, Any] = Field(
        {},
        description="fields as the client sent them; each image of a chat message is an index into "
        "the job's images",
    )
    stream: bool = Field(default=False, description="stream the reply")


class ChatMessage(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(frozen=True)

    role: Literal["system", "user", "assistant"]
    text: WellFormed = ""
    images: tuple[int, ...] = Field((), description="positions among the job's images")


class Instructions(BaseModel):
    """What a model is to do."""

    # Errors of a job that cannot be read are logged, and prompts are not.
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    tasks: tuple[Task, ...] = ()
    prompt: WellFormed = ""
    system: WellFormed = Field("", description="system prompt, for families that chat")
    output_schema: JsonObject | None = Field(
        None, description="JSON schema of the answer, for families that chat"
    )
    think: bool | WellFormed | None = Field(
        None, description="whether to think first, or how much, for families that chat"
    )
    messages: tuple[ChatMessage, ...] = Field(
        (), description="a conversation in place of the prompt, for families that chat"
    )
    options: Options = Options()

    @property
    def without_wording(self) -> "Instructions":
        """The instructions without what each text of a batch may have for itself."""
        return Instructions(tasks=self.tasks, think=self.think, options=self.options)

    @property
    def is_seeded(self) -> bool:
        """Whether the job itself says that it is seeded: see :attr:`Options.is_seeded`."""
        return self.options.is_seeded


class Job(Instructions):
    """The work for one model that a request needs, as it is queued."""

    request_id: str
    images: tuple[str, ...] = Field((), description="Redis keys of the encoded images, in order")
    stored_as: str = Field(
        "", description="Redis key of the whole job, of which the message then has a part"
    )
    ollama: OllamaInstructions | None = None
    priority: Priority = Priority.PERSON
    deadline: float = Field(description="when the client stops waiting, in seconds since the epoch")

    @property
    def keys(self) -> tuple[str, ...]:
        """All that lies in Redis for the job: the keys of its images, and of itself if it does."""
        return (*self.images, self.stored_as) if self.stored_as else self.images

    @property
    def instructions(self) -> Instructions:
        """The job's instructions, without what only Ollama's servers understand."""
        return Instructions(
            tasks=self.tasks,
            prompt=self.prompt,
            system=self.system,
            output_schema=self.output_schema,
            think=self.think,
            messages=self.messages,
            options=self.options.known,
        )


def celery_task_names() -> tuple[str, ...]:
    """Return the names of all Celery tasks; operators see them in Flower."""
    return (*map(_name_of, task_names()), *CALL_NAMES.values(), SEVERAL_TASKS)


def celery_task_name(job: Job) -> str:
    """Return the name of the Celery task for a job."""
    if job.ollama and job.ollama.call in CALL_NAMES:
        return CALL_NAMES[job.ollama.call]
    return _name_of(job.tasks[0]) if len(job.tasks) == 1 else SEVERAL_TASKS


def _name_of(task: str) -> str:
    return f"vision.{task}"


class Result(RootModel[dict[Task, Any]]):
    """Answers by task; a task that was not asked for is absent."""

    root: dict[Task, Any] = {}

    @model_validator(mode="after")
    def _of_payloads(self) -> Self:
        for task, payload in self.root.items():
            self.root[task] = find_task(task).adapter.validate_python(payload)
        return self

    @model_serializer(mode="wrap")
    def _by_alias(
        self, serialize: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> JsonObject:
        """Name answers as replies do if aliases are asked for, and by their tasks on the queue."""
        answers: JsonObject = serialize(self)
        if not info.by_alias:
            return answers
        return {find_task(task).field_name: answer for task, answer in answers.items()}

    def __getitem__(self, task: str) -> Any:  # noqa: ANN401 - the task's payload
        """Return the answer to a task.

        Raises:
            KeyError: there is none.
        """
        return self.root[task]

    def get(self, task: str) -> Any:  # noqa: ANN401 - the task's payload
        """Return the answer to a task, or ``None``."""
        return self.root.get(task)

    def with_unreadable(self, reasons: Mapping[int, str]) -> "Result":
        """Return the result of all images from that of the images that could be read.

        Args:
            reasons: why the others could not be read, by their positions among all images.
        """
        return Result(
            {
                task: find_task(task).with_unreadable(payload, reasons)
                for task, payload in self.root.items()
            }
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonObject:
        """Describe the payloads of all tasks that are registered when the document is built."""
        return {
            "type": "object",
            "title": cls.__name__,
            "description": cls.__doc__,
            "properties": {
                spec.field_name: handler(spec.adapter.core_schema) for spec in all_tasks()
            },
        }


class JobTimes(NamedTuple):
    """The seconds that a job spent in the engine; they add up to all of them."""

    queue: float
    """Waiting: for its images to be prepared, and for the model."""
    prepare: float
    """While its images were decoded and made ready."""
    predict: float
    """While the model ran its batch."""

    @classmethod
    def split(cls, whole_s: float, prepare_s: float, predict_s: float) -> "JobTimes":
        """Call all that is neither preparation nor prediction waiting."""
        predict = min(predict_s, whole_s)
        prepare = min(prepare_s, whole_s - predict)
        return cls(whole_s - predict - prepare, prepare, predict)


NO_TIME = JobTimes(0.0, 0.0, 0.0)


class Outcome(NamedTuple):
    """The result of a job: answers by task, or the reply of a remote server."""

    result: Result = Result()
    raw: JsonObject | None = None
    times: JobTimes = NO_TIME
    host: str = ""
    """Name of the machine that answered."""

    def to_message(self) -> JsonObject:
        """Return a JSON object with the answers, and ``raw`` beside them."""
        message: JsonObject = self.result.model_dump(mode="json", exclude_none=True)
        return message if self.raw is None else {**message, "raw": self.raw}

    @classmethod
    def from_message(cls, message: JsonObject) -> Self:
        """Parse the return value of :meth:`to_message`; what a later version added is left out.

        Raises:
            ValueError: the message is none.
        """
        answers = {task: message[task] for task in task_names() if task in message}
        return cls(Result.model_validate(answers), message.get("raw"))


def end_message(end: Outcome | VisionError, host: str) -> JsonObject:
    """Return how a job ended as a JSON object, and on which machine."""
    if isinstance(end, VisionError):
        # The status and the pause are for an API that does not know the error.
        about = {"status": end.status, "retry_after_s": end.retry_after_s}
        return {"error": type(end).__name__, "message": end.message, **about, "host": host}
    return {"outcome": end.to_message(), "times": end.times._asdict(), "host": host}


def is_end(message: JsonObject) -> bool:
    """Return whether a worker's message is the result of :func:`end_message`."""
    return "outcome" in message or "error" in message


def read_end(message: JsonObject) -> Outcome:
    """Return the outcome in the result of :func:`end_message`.

    Raises:
        VisionError: the job ended with it.
        ValueError: the message is none.
    """
    host = message.get("host", "")
    if name := message.get("error"):
        about = message.get("status", VisionError.status), message.get("retry_after_s")
        error = error_named(name, message["message"], *about)
        error.host = host
        raise error
    seconds = message.get("times", {})
    times = JobTimes(*(seconds.get(phase, 0.0) for phase in JobTimes._fields))
    return Outcome.from_message(message["outcome"])._replace(times=times, host=host)
