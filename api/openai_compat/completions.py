"""Requests and replies of ``/v1/chat/completions``."""

import json
import time
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from api.answering.results import Written
from api.openai_compat.errors import FieldsByFault, error_reply
from api.openai_compat.fields import (
    AnyObject,
    Effort,
    NotOffered,
    OpenAiRequest,
    PlainText,
    Question,
    StopWords,
    Strict,
    of_text,
    or_empty,
    thinking,
)
from api.schemas import ImageText, Or
from shared.answer_schema import form_meant
from shared.errors import TooFewTokens, UnusableChat, UnusableForm, VisionError
from shared.messages import JsonObject
from shared.options import Number
from shared.tasks.answer import Usage


class TextPart(Strict):
    """Text of a message."""

    type: Literal["text"]
    text: str


class ImageUrl(Strict):
    """An image."""

    url: ImageText


class ImagePart(Strict):
    """An image of a message."""

    type: Literal["image_url"]
    image_url: Annotated[ImageUrl, of_text(lambda url: {"url": url}), Or("string")] = Field(
        description="a data URL or an http(s) URL"
    )


class RefusalPart(Strict):
    """What a model has written instead of an answer."""

    type: Literal["refusal"]
    refusal: str


Part = Annotated[TextPart | ImagePart | RefusalPart, Field(discriminator="type")]


class CompletionMessage(Strict):
    """A message of a conversation; what is no answer of the model's counts as the user's."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Annotated[
        list[Part],
        Field(fail_fast=True),
        or_empty,
        of_text(lambda text: [{"type": "text", "text": text}]),
        Or("string", "null"),
    ] = Field(default_factory=list)

    @property
    def as_for_ollama(self) -> JsonObject:
        """The message in Ollama's form, its text in one piece."""
        texts = [part.text for part in self.content if isinstance(part, TextPart)]
        images = [part.image_url.url for part in self.content if isinstance(part, ImagePart)]
        role = "system" if self.role == "developer" else self.role
        return {"role": role, "content": "\n".join(texts), "images": images}


class JsonSchema(Strict):
    """A JSON schema."""

    schema_: dict[str, Any] = Field(alias="schema")


class CompletionSchema(Strict):
    """The answer is JSON by a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


class StreamOptions(Strict):
    """What a streamed reply has beside the text."""

    include_usage: bool | None = None


class CompletionRequest(OpenAiRequest):
    """A request for the next message of a conversation."""

    messages: Annotated[list[CompletionMessage], Field(min_length=1, fail_fast=True)]
    response_format: (
        Annotated[PlainText | AnyObject | CompletionSchema, Field(discriminator="type")] | None
    ) = None
    max_completion_tokens: Number = Field(None, description="below 1: the default")
    max_tokens: Number = Field(None, description="an older name of `max_completion_tokens`")
    seed: Number = None
    stop: StopWords = Field(default_factory=list)
    reasoning_effort: Effort | None = Field(None, description="for models that can think")
    n: Annotated[int, Field(ge=1, le=1)] | None = Field(None, description="one answer")
    stream_options: StreamOptions | None = None
    functions: NotOffered = None
    logprobs: NotOffered = None
    audio: NotOffered = None

    def question(self) -> Question:
        """Return what is asked."""
        most = self.max_completion_tokens or self.max_tokens
        match self.response_format:
            case CompletionSchema(json_schema=given):
                form: Any = form_meant(given.schema_)
            case AnyObject():
                form = "json"
            case _:
                form = None
        return Question(
            model=self.model,
            stream=bool(self.stream),
            messages=[message.as_for_ollama for message in self.messages],
            form=form,
            think=thinking(self.reasoning_effort),
            options=self.options(num_predict=most, seed=self.seed, stop=self.stop),
        )


class CompletionReply:
    """The reply to one request, in one piece or streamed."""

    def __init__(self, request: CompletionRequest, request_id: str) -> None:
        self._head = {
            "id": f"chatcmpl-{request_id}",
            "created": int(time.time()),
            "model": request.model,
        }
        is_older = request.max_tokens and not request.max_completion_tokens
        self.fields: FieldsByFault = {
            UnusableChat: "messages",
            UnusableForm: "response_format",
            TooFewTokens: "max_tokens" if is_older else "max_completion_tokens",
        }
        wanted = request.stream_options
        self._has_usage = bool(wanted and wanted.include_usage)

    def whole(self, written: Written) -> JsonObject:
        """Return the reply in one piece."""
        message = {"role": "assistant", "content": written.text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _end(written)}
        body = {**self._head, "object": "chat.completion", "choices": [choice]}
        return {**body, "usage": _counts(written.usage)} if written.usage else body

    def events(self, parts: Iterable[Written]) -> Iterator[bytes]:
        """Yield the reply as server-sent events, while its parts come."""
        yield self._chunk({"role": "assistant", "content": ""})
        last = Written()
        for last in parts:
            if last.text:
                yield self._chunk({"content": last.text})
        yield self._chunk({}, _end(last))
        if self._has_usage and last.usage:
            yield _event({**self._chunk_head, "choices": [], "usage": _counts(last.usage)})
        yield b"data: [DONE]\n\n"

    def failure(self, err: VisionError) -> Iterable[bytes]:
        """Return how a streamed reply ends after an error."""
        return [f"data: {error_reply(err, err.status, err.message)}\n\n".encode()]

    @property
    def _chunk_head(self) -> JsonObject:
        return {**self._head, "object": "chat.completion.chunk"}

    def _chunk(self, delta: JsonObject, finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _event({**self._chunk_head, "choices": [choice]})


def _event(body: JsonObject) -> bytes:
    return f"data: {json.dumps(body)}\n\n".encode()


def _end(written: Written) -> str:
    return "length" if written.is_cut else "stop"


def _counts(usage: Usage) -> JsonObject:
    return {
        "prompt_tokens": usage.given,
        "completion_tokens": usage.written,
        "total_tokens": usage.given + usage.written,
    }
