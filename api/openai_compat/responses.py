"""Requests and replies of ``/v1/responses``."""

import json
import time
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from api.answering.results import Written
from api.openai_compat.errors import FieldsByFault, error_body
from api.openai_compat.fields import (
    AnyObject,
    Effort,
    NotOffered,
    OpenAiRequest,
    PlainText,
    Question,
    Strict,
    of_text,
    thinking,
)
from api.schemas import ImageText, Or
from shared.answer_schema import form_meant
from shared.errors import TooFewTokens, UnusableChat, UnusableForm, VisionError
from shared.messages import JsonObject
from shared.options import Number
from shared.tasks.answer import Usage


class InputText(Strict):
    """Text of a message."""

    type: Literal["input_text"]
    text: str


class InputImage(Strict):
    """An image of a message."""

    type: Literal["input_image"]
    image_url: ImageText = Field(description="a data URL or an http(s) URL")


class OutputText(Strict):
    """Text of an earlier answer."""

    type: Literal["output_text"]
    text: str


class Refusal(Strict):
    """What a model has written instead of an answer."""

    type: Literal["refusal"]
    refusal: str


Content = Annotated[InputText | InputImage | OutputText | Refusal, Field(discriminator="type")]


class InputMessage(Strict):
    """A message of a conversation."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[
        list[Content],
        Field(fail_fast=True),
        of_text(lambda text: [{"type": "input_text", "text": text}]),
        Or("string"),
    ]

    @property
    def as_for_ollama(self) -> JsonObject:
        """The message in Ollama's form, its text in one piece."""
        texts = [part.text for part in self.content if isinstance(part, InputText | OutputText)]
        images = [part.image_url for part in self.content if isinstance(part, InputImage)]
        role = "system" if self.role == "developer" else self.role
        return {"role": role, "content": "\n".join(texts), "images": images}


class Thought(Strict):
    """What a model has thought before an earlier answer; it is left out."""

    type: Literal["reasoning"]


def _with_type(item: object) -> object:
    return {"type": "message", **item} if isinstance(item, dict) else item


Item = Annotated[
    Annotated[InputMessage | Thought, Field(discriminator="type")], BeforeValidator(_with_type)
]


class ResponseSchema(Strict):
    """The answer is JSON by a schema."""

    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class TextSettings(Strict):
    """How the answer is to be."""

    format: (
        Annotated[PlainText | AnyObject | ResponseSchema, Field(discriminator="type")] | None
    ) = None


class Reasoning(Strict):
    """Whether to think first."""

    effort: Effort | None = None


class ResponseRequest(OpenAiRequest):
    """A request for an answer."""

    input: Annotated[
        list[Item],
        Field(min_length=1, fail_fast=True),
        of_text(lambda text: [{"role": "user", "content": text}]),
        Or("string"),
    ]
    instructions: str | None = Field(None, description="a system prompt before all messages")
    text: TextSettings | None = None
    max_output_tokens: Number = Field(None, description="below 1: the default")
    reasoning: Reasoning | None = Field(None, description="for models that can think")
    previous_response_id: NotOffered = None
    conversation: NotOffered = None
    background: NotOffered = None
    prompt: NotOffered = None

    def question(self) -> Question:
        """Return what is asked."""
        told = [{"role": "system", "content": self.instructions}] if self.instructions else []
        match self.text and self.text.format:
            case ResponseSchema(schema_=given):
                form: Any = form_meant(given)
            case AnyObject():
                form = "json"
            case _:
                form = None
        items = [item.as_for_ollama for item in self.input if isinstance(item, InputMessage)]
        return Question(
            model=self.model,
            stream=bool(self.stream),
            messages=[*told, *items],
            form=form,
            think=thinking(self.reasoning.effort if self.reasoning else None),
            options=self.options(num_predict=self.max_output_tokens),
        )


class ResponseReply:
    """The reply to one request, in one piece or streamed."""

    fields: ClassVar[FieldsByFault] = {
        UnusableChat: "input",
        UnusableForm: "text.format",
        TooFewTokens: "max_output_tokens",
    }

    def __init__(self, request: ResponseRequest, request_id: str) -> None:
        self._numbers = count()
        self._message_id = f"msg_{request_id}"
        given = request.text and request.text.format
        text_format = given.model_dump(by_alias=True) if given else {"type": "text"}
        self._head: JsonObject = {
            "id": f"resp_{request_id}",
            "object": "response",
            "created_at": int(time.time()),
            "model": request.model,
            "instructions": request.instructions,
            "max_output_tokens": request.max_output_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "text": {"format": text_format},
            "error": None,
            "incomplete_details": None,
            "metadata": {},
            "parallel_tool_calls": False,
            "previous_response_id": None,
            "store": False,
            "tool_choice": "auto",
            "tools": [],
            "truncation": "disabled",
        }

    def whole(self, written: Written) -> JsonObject:
        """Return the reply in one piece."""
        status = "incomplete" if written.is_cut else "completed"
        body = {**self._head, "status": status, "output": [self._message(written.text, status)]}
        if written.is_cut:
            body["incomplete_details"] = {"reason": "max_output_tokens"}
        if written.usage:
            body["usage"] = _counts(written.usage)
        return body

    def events(self, parts: Iterable[Written]) -> Iterator[bytes]:
        """Yield the reply as server-sent events, while its parts come."""
        begun = {**self._head, "status": "in_progress", "output": []}
        item = {**self._message("", "in_progress"), "content": []}
        place = {"item_id": self._message_id, "output_index": 0, "content_index": 0}
        yield self._event("response.created", response=begun)
        yield self._event("response.in_progress", response=begun)
        yield self._event("response.output_item.added", output_index=0, item=item)
        yield self._event("response.content_part.added", **place, part=_content(""))
        texts: list[str] = []
        last = Written()
        for last in parts:
            if last.text:
                texts.append(last.text)
                yield self._event(
                    "response.output_text.delta", **place, delta=last.text, logprobs=[]
                )
        whole = self.whole(last._replace(text="".join(texts)))
        (message,) = whole["output"]
        (part,) = message["content"]
        yield self._event("response.output_text.done", **place, text=part["text"], logprobs=[])
        yield self._event("response.content_part.done", **place, part=part)
        yield self._event("response.output_item.done", output_index=0, item=message)
        yield self._event(f"response.{whole['status']}", response=whole)

    def failure(self, err: VisionError) -> Iterable[bytes]:
        """Return how a streamed reply ends after an error."""
        told = error_body(err, err.status, err.message)
        error = {"code": told.code or told.type, "message": told.message}
        body = {**self._head, "status": "failed", "output": [], "error": error}
        return [self._event("response.failed", response=body)]

    def _message(self, text: str, status: str) -> JsonObject:
        return {
            "id": self._message_id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [_content(text)],
        }

    def _event(self, kind: str, **fields: Any) -> bytes:  # noqa: ANN401 - JSON
        body = {"type": kind, "sequence_number": next(self._numbers), **fields}
        return f"event: {kind}\ndata: {json.dumps(body)}\n\n".encode()


def _content(text: str) -> JsonObject:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _counts(usage: Usage) -> JsonObject:
    return {
        "input_tokens": usage.given,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": usage.written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.given + usage.written,
    }
