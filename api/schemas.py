"""The public contract: request and reply bodies. They validate, and make the OpenAPI document."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from shared.messages import Options, Result
from shared.redis.presence import WorkerStatus
from shared.tasks.registry import Task
from shared.vocabulary import OperatorCommand


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        msg = "not valid Unicode text"
        raise ValueError(msg) from None
    return text


Text = Annotated[
    str,
    BeforeValidator(lambda value: "" if value is None else value),
    AfterValidator(_encodable),
]
"""A string where ``null`` means absent, as PhotoPrism's client has it."""
ID_PATTERN = r"^[\x21-\x7e]{1,128}$"
RequestId = Annotated[Text, Field(max_length=128, pattern=f"{ID_PATTERN}|^$")]
Name = Annotated[Text, Field(max_length=256)]


class VisionQuery(BaseModel):
    """A request in the query string: one image by its URL."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: RequestId = Field("", description="comes back unchanged; made when absent")
    model: Name = Field("", description="model, or model:version; the path wins")
    version: Name = Field("", description="version of the model; empty or `latest`: any")
    prompt: Annotated[Text, Field(max_length=8192)] = Field(
        "", description="prompt; models that follow no instructions ignore it"
    )
    url: Text = Field("", description="http(s) URL of an image")


class VisionRequest(VisionQuery):
    """A request as JSON. Fields that no model here understands are accepted and ignored."""

    images: Annotated[
        tuple[str, ...], BeforeValidator(lambda value: () if value is None else value)
    ] = Field((), description="images as data URLs, bare base64 or http(s) URLs")
    options: Annotated[Options, BeforeValidator(lambda value: {} if value is None else value)] = (
        Field(Options(), description="generation options, named as Ollama names them")
    )
    system: Any = Field(None, description="system prompt, for models of Ollama")
    format: Any = Field(None, description="`json` or a JSON schema, for models of Ollama")
    schema_: Any = Field(None, alias="schema", description="JSON schema, for models of Ollama")
    think: Any = Field(None, description="true, false or a level, for models of Ollama")
    suffix: Any = Field(None, description="ignored")
    context: Any = Field(None, description="ignored")
    stream: Any = Field(None, description="ignored: the reply comes in one piece")

    @property
    def for_chat(self) -> dict[str, Any]:
        """The fields of a job that only families that chat understand, where they are there."""
        return chat_fields(self.system, self.schema_ or self.format)

    @property
    def for_ollama(self) -> dict[str, Any]:
        """The fields that only models of Ollama understand, where they are there."""
        fields = {"system": self.system, "think": self.think, "format": self.schema_ or self.format}
        return {name: value for name, value in fields.items() if value not in (None, "")}


def chat_fields(system: object, output_format: object) -> dict[str, Any]:
    """Return what a client says beside its prompt as fields of a job.

    Args:
        system: a system prompt; anything but a string is left out.
        output_format: a JSON schema, which is an object; words such as ``json`` say nothing more.
    """
    fields = {
        "system": system if isinstance(system, str) else "",
        "output_schema": output_format if isinstance(output_format, dict) else None,
    }
    return {name: value for name, value in fields.items() if value}


class OllamaRequest(BaseModel):
    """A request as Ollama takes it; other fields go to Ollama as they are."""

    model_config = ConfigDict(extra="allow")

    model: str
    prompt: str = ""
    messages: tuple[dict[str, Any], ...] = ()
    images: tuple[str, ...] = Field((), description="base64")
    format: Any = Field(None, description="`json` or a JSON schema")
    stream: bool = True
    options: dict[str, Any] = {}


class OllamaReply(BaseModel):
    """A reply as Ollama makes it; streamed as one JSON object a line unless `stream` is false."""

    model_config = ConfigDict(extra="allow")


class UploadForm(BaseModel):
    """A request as ``multipart/form-data``, for people with curl."""

    images: list[Annotated[str, Field(json_schema_extra={"format": "binary"})]] = Field(
        [], description="image files, or images as text; the field may be repeated"
    )
    id: Text = ""
    model: Text = ""
    version: Text = ""
    prompt: Text = ""
    url: Text = Field("", description="http(s) URL of one more image")
    options: Text = Field("", description="generation options as a JSON object")


class ModelEcho(BaseModel):
    """The model that answered, not the alias asked for."""

    type: Task
    name: str
    version: str
    resolution: int


class VisionReply(BaseModel):
    """A successful reply."""

    id: str
    code: int = 200
    model: ModelEcho
    result: Result


class ErrorReply(BaseModel):
    """Any reply that is not a success."""

    id: str
    code: int = Field(description="the HTTP status")
    error: str = Field(description="what is wrong, in a sentence")


class ModelEntry(BaseModel):
    """One model of the catalogue, and who serves it now."""

    name: str
    aliases: tuple[str, ...]
    tasks: tuple[Task, ...]
    default_for: tuple[Task, ...]
    version: str
    family: str
    queued: int = Field(description="requests waiting for a worker")
    served: bool = Field(description="a worker has the model ready now")
    workers: tuple[WorkerStatus, ...]


class ModelsReply(BaseModel):
    """The catalogue."""

    models: tuple[ModelEntry, ...]


class CommandReply(BaseModel):
    """The workers that took an operator's command."""

    model: str
    command: OperatorCommand
    workers: tuple[str, ...]


class HealthReply(BaseModel):
    """Answer of the health routes."""

    status: str = "ok"
    models: dict[str, str] = Field(
        {}, description="enabled models that no worker has ready, and why; for people"
    )
