"""Request and reply bodies: they validate, and are documented in the OpenAPI document.

Those in Ollama's form are in :mod:`api.ollama_compat.schemas`.
"""

from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    JsonValue,
    StrictBool,
    StrictStr,
)
from pydantic_core import CoreSchema

from shared.answer_schema import ANY_OBJECT, form_meant
from shared.errors import BadRequest
from shared.messages import Result
from shared.options import Options
from shared.redis.presence import WorkerStatus
from shared.redis.server import RedisServer
from shared.tasks.registry import Task
from shared.vocabulary import OperatorCommand


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        msg = "not valid Unicode text"
        raise ValueError(msg) from None
    return text


class Or:
    """Says in a schema that values of another type are valid, too: a validator makes one of them.

    ``null`` counts as absent.
    """

    def __init__(self, *types: str) -> None:
        self._others = [{"type": name} for name in types]

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [handler(schema), *self._others]}


MAX_NAME = 256
IMAGE: dict[str, JsonValue] = {"format": "image"}
"""What a schema has for an image as data URL, bare base64 or http(s) URL."""
ID_PATTERN = r"^[\x21-\x7e]{1,128}$"
_text = (
    AfterValidator(_encodable),
    BeforeValidator(lambda value: "" if value is None else value),
    Or("null"),
)
"""``null`` counts as absent, because PhotoPrism's client sends it."""
Text = Annotated[str, *_text]
Name = Annotated[str, Field(max_length=MAX_NAME), *_text]
ImageText = Annotated[str, Field(json_schema_extra=IMAGE)]
AnswerForm = Annotated[Any, AfterValidator(form_meant)]
RequestId = Annotated[str, Field(max_length=128, pattern=r"^[\x21-\x7e]*$"), *_text]


class VisionQuery(BaseModel):
    """The fields beside an image that is the whole body."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: RequestId = Field("", description="returned unchanged in the reply; generated if absent")
    model: Name = Field(
        "", description="model, or model:version; a model in the path takes precedence"
    )
    version: Name = Field("", description="version of the model; empty or `latest` means any")
    prompt: Text = Field(
        "",
        description="prompt; ignored by models that do not follow instructions. It may have 8192 "
        "characters, for models of Ollama 4 MB.",
    )


class UrlQuery(VisionQuery):
    """A request in the query string: one image by its URL."""

    url: str = Field(
        description="http(s) URL of an image", json_schema_extra={**IMAGE, "minLength": 1}
    )


def _with_an_image(schema: dict[str, Any]) -> None:
    """Say that a request has an image."""
    images = {"type": "array", "minItems": 1}
    schema["anyOf"] = [
        {"required": ["images"], "properties": {"images": images}},
        {"required": ["url"], "properties": {"url": {"type": "string", "minLength": 1}}},
    ]


def _think_in_words(value: object) -> object:
    """Read ``true`` and ``false`` as texts, too: what configurations of PhotoPrism hold is text."""
    known: dict[object, object] = {"true": True, "false": False, "": None}
    return known.get(value, value) if isinstance(value, str) else value


class VisionRequest(VisionQuery):
    """A request as JSON. Fields that no model understands are accepted and ignored."""

    model_config = ConfigDict(json_schema_extra=_with_an_image)

    url: Text = Field("", description="http(s) URL of one more image", json_schema_extra=IMAGE)
    images: Annotated[
        tuple[ImageText, ...],
        BeforeValidator(lambda value: () if value is None else value),
        Or("null"),
    ] = Field((), fail_fast=True, description="images as data URLs, bare base64 or http(s) URLs")
    options: Annotated[
        Options, BeforeValidator(lambda value: {} if value is None else value), Or("null")
    ] = Field(Options(), description="generation options, named as Ollama names them")
    system: Any = Field(None, description="system prompt, for models that chat")
    format: AnswerForm = Field(None, description="`json` or a JSON schema, for models that chat")
    schema_: AnswerForm = Field(
        None, alias="schema", description="JSON schema, for models that chat"
    )
    think: Annotated[StrictBool | StrictStr | None, BeforeValidator(_think_in_words)] = Field(
        None,
        description="true, false, `low`, `medium`, `high` or `max`, for models that chat",
    )
    suffix: Any = Field(None, description="ignored")
    context: Any = Field(None, description="ignored")
    stream: Any = Field(None, description="ignored: replies are not streamed")

    @property
    def without_images(self) -> Self:
        """The request without its images and their memory."""
        return self.model_copy(update={"images": (), "url": ""})

    @property
    def for_chat(self) -> dict[str, Any]:
        """The fields of a job that only families that chat understand, if the request has them."""
        return chat_fields(self.system, self.schema_ or self.format, self.think)

    @property
    def for_ollama(self) -> dict[str, Any]:
        """The fields that only Ollama's models understand, if the request has them."""
        wanted = self.schema_ or self.format
        output_format = wanted if is_output_format(wanted) else None
        fields = {"system": self.system, "think": self.think, "format": output_format}
        return {name: value for name, value in fields.items() if value not in (None, "")}


def is_output_format(value: object) -> bool:
    """Return whether a value of ``format`` is one that Ollama understands, or means none."""
    return value in (None, "", "json") or isinstance(value, dict)


def chat_fields(system: object, output_format: object, think: object) -> dict[str, Any]:
    """Return what goes with a prompt as fields of a job.

    Args:
        system: a system prompt; anything but a string is left out.
        output_format: a JSON schema, or ``json`` for any object; other words are left out.
        think: true, false or a level; empty: nobody says.

    Raises:
        BadRequest: ``think`` is none of these.
    """
    if not isinstance(think, bool | str | None):
        raise BadRequest("`think` is neither true, false nor a level.")
    schema = ANY_OBJECT if output_format == "json" else output_format
    fields = {
        "system": system if isinstance(system, str) else "",
        "output_schema": schema if isinstance(schema, dict) else None,
        "think": think,
    }
    return {name: value for name, value in fields.items() if value not in ("", None, {})}


class UploadForm(BaseModel):
    """A request as a form, convenient with curl."""

    model_config = ConfigDict(json_schema_extra=_with_an_image)

    images: list[Annotated[str, Field(json_schema_extra={"format": "binary"})]] = Field(
        [], description="image files, or images as in JSON; the field may be repeated"
    )
    id: str = Field("", max_length=128, pattern=r"^[\x21-\x7e]*$")
    model: str = Field("", max_length=MAX_NAME)
    version: str = Field("", max_length=MAX_NAME)
    prompt: str = ""
    url: str = Field("", description="http(s) URL of another image", json_schema_extra=IMAGE)
    options: str = Field(
        "",
        description="generation options as a JSON object",
        json_schema_extra={"format": "json-object"},
    )


class ModelEcho(BaseModel):
    """The model that answered; if the request named an alias, the model behind it."""

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
    """The reply to a request that failed."""

    id: str
    code: int = Field(description="HTTP status")
    error: str = Field(description="what went wrong, in one sentence")
    kind: str | None = Field(
        None,
        description="`NothingFound`: the model looked at the image and has nothing to say; asked "
        "again, it would not either",
    )


class ModelEntry(BaseModel):
    """One model of the catalogue, and the workers that serve it now."""

    name: str
    aliases: tuple[str, ...]
    tasks: tuple[Task, ...]
    default_for: tuple[Task, ...]
    version: str
    family: str
    nsfw_threshold: float | None = Field(
        description="NSFW scores from here on are unsafe; null: the model gives none"
    )
    queued: int = Field(description="requests waiting for a worker")
    queued_bulk: int = Field(description="how many of them are bulk work")
    served: bool = Field(description="whether a worker has the model ready now")
    workers: tuple[WorkerStatus, ...]


class RequestLimits(BaseModel):
    """What a request may have; the operator sets it."""

    max_body_bytes: int
    max_images: int
    max_megapixels: float = Field(
        description="of a decoded image; larger JPEG and JPEG 2000 are decoded at a reduced size"
    )
    max_prompt: int = Field(description="characters; prompts for models of Ollama may have more")


class ModelsReply(BaseModel):
    """The models of the catalogue, and what a client may send to them."""

    models: tuple[ModelEntry, ...]
    limits: RequestLimits
    flower_url: str = Field(description="where Flower is, for a browser; empty: not known")


class CommandReply(BaseModel):
    """The workers that confirmed an operator's command."""

    model: str
    command: OperatorCommand
    workers: tuple[str, ...]


class SetupReply(BaseModel):
    """How the service is set up."""

    product: str
    time: float = Field(description="of the API's clock, in seconds since the epoch")
    models: tuple[str, ...] = Field(description="models that should run, by `VISION_MODELS`")
    has_api_keys: bool
    has_operator_keys: bool
    timeout_s: float = Field(description="maximum seconds for a request")
    redis: RedisServer


class HealthReply(BaseModel):
    """A reply of the health routes."""

    status: str = "ok"
    models: dict[str, str] = Field(
        {}, description="enabled models that no worker has ready, each with the reason in words"
    )
