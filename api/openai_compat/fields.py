"""What both of OpenAI's calls have in common: their fields, and how they are read."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails, PydanticCustomError

from api.answering.chat import Chat, read_chat
from api.openai_compat.errors import InvalidParameter
from api.schemas import MAX_NAME, Or
from shared.messages import JsonObject
from shared.options import Number, Options

_NOTHING: tuple[Any, ...] = (None, False, [])

Request = TypeVar("Request", bound=BaseModel)


class Strict(BaseModel):
    """A part of a request: other fields are ignored, and JSON's types are not mixed."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


def _nothing(value: object) -> None:
    if not any(value is nothing or value == nothing for nothing in _NOTHING):
        raise PydanticCustomError("not_offered", "Input should be left out: this is not offered")


NotOffered = Annotated[None, BeforeValidator(_nothing), WithJsonSchema({"enum": list(_NOTHING)})]
"""A field that nothing here can serve, and that must not be ignored either."""


def of_text(make: Callable[[str], Any]) -> BeforeValidator:
    """Return a validator that makes the full form of a field of a bare string."""
    return BeforeValidator(lambda value: make(value) if isinstance(value, str) else value)


or_empty = BeforeValidator(lambda value: [] if value is None else value)
StopWords = Annotated[
    list[str],
    Field(fail_fast=True),  # as in each list here: a body may have 200,000 faults
    or_empty,
    of_text(lambda word: [word]),
    Or("string", "null"),
]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
"""How much a model is to think first."""


class PlainText(Strict):
    """The answer is free text."""

    type: Literal["text"]


class AnyObject(Strict):
    """The answer is any JSON object."""

    type: Literal["json_object"]


@dataclass
class Question:
    """What a request asks, in the words of Ollama's API, which all models here understand."""

    model: str
    stream: bool
    messages: list[JsonObject]
    form: JsonObject | Literal["json"] | None
    think: bool | str | None
    options: Options

    def take_chat(self) -> Chat:
        """Return the conversation; its images are not kept here."""
        messages, self.messages = self.messages, []
        return read_chat(messages)


class OpenAiRequest(Strict):
    """Fields of both calls. Those that are not listed are ignored."""

    model: Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
    stream: bool | None = None
    temperature: Number = Field(None, description="0: the most probable tokens")
    top_p: Number = None
    frequency_penalty: Number = Field(None, description="for models of Ollama")
    presence_penalty: Number = Field(None, description="for models of Ollama")
    tools: NotOffered = None

    @abstractmethod
    def question(self) -> Question:
        """Return what is asked."""

    def options(self, **more: object) -> Options:
        """Return the generation options by Ollama's names.

        Args:
            more: options that only one of the calls has, or that it calls otherwise.
        """
        names = ("temperature", "top_p", "frequency_penalty", "presence_penalty")
        given: dict[str, Any] = {name: getattr(self, name) for name in names} | more
        return Options(**{name: value for name, value in given.items() if value not in (None, [])})


def thinking(effort: Effort | None) -> bool | str | None:
    """Return an effort in Ollama's words."""
    match effort:
        case "none" | "minimal":
            return False
        case "xhigh":
            return "high"
        case _:
            return effort


def validated(kind: type[Request], body: JsonObject) -> Request:
    """Return a request.

    Raises:
        InvalidParameter: the message names the fields at fault, but not what the client sent.
    """
    try:
        return kind.model_validate(body)
    except ValidationError as err:
        faults = err.errors(include_url=False, include_input=False)[:5]
        places = [_place(fault, body) for fault in faults]
        details = "; ".join(
            f"{place or 'body'}: {_sentence(fault)}"
            for place, fault in zip(places, faults, strict=True)
        )
        message = f"The request is malformed: {details}."
        raise InvalidParameter(message, places[0] or None) from err


def _place(fault: ErrorDetails, value: Any) -> str:  # noqa: ANN401 - JSON
    """Return where a fault is, as ``messages.0.content``: without the names of alternatives."""
    words: list[str] = []
    for word in fault["loc"]:
        if isinstance(value, list) and isinstance(word, int) and word < len(value):
            words.append(str(word))
            value = value[word]
        elif isinstance(value, dict) and (word in value or word == fault["loc"][-1]):
            words.append(str(word))
            value = value.get(word)
    return ".".join(words)


def _sentence(fault: ErrorDetails) -> str:
    context: Mapping[str, Any] = fault.get("ctx", {})
    if tags := context.get("expected_tags"):
        return f"Its `type` should be one of {tags}"
    return "Its `type` is missing" if fault["type"] == "union_tag_not_found" else fault["msg"]
