"""The views of OpenAI's API: our own models and Ollama's answer in OpenAI's form."""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from typing import Any, Protocol

from flask import Response, g, request

from api.answering.answerer import Answerer
from api.answering.asked import asked_in_chat
from api.answering.results import Written
from api.answering.streaming import Reply, StreamedReply, ended_in_words
from api.http.client_connection import client_of
from api.http.json_bounds import check_text
from api.http.request_images import read_sources
from api.http.request_parsing import read_object
from api.limits.admission import check_served
from api.openai_compat.completions import CompletionReply, CompletionRequest
from api.openai_compat.errors import FieldsByFault, naming
from api.openai_compat.fields import Question, validated
from api.openai_compat.models import OpenAiModel, OpenAiModels, named, ollamas_models, own_model
from api.openai_compat.responses import ResponseReply, ResponseRequest
from api.openai_compat.written import by_ollama
from api.schemas import chat_fields
from api.service import VisionService
from shared.errors import NotOffered, UnusableChat, VisionError
from shared.families import OLLAMA
from shared.images.several import ReadImages
from shared.messages import JsonObject
from shared.model_spec import ModelSpec
from shared.vocabulary import OllamaCall

EVENTS = "text/event-stream"


class ReplyForm(Protocol):
    """The form of the reply to one request."""

    @property
    def fields(self) -> FieldsByFault:
        """What the fields of the request are called."""

    def whole(self, written: Written) -> JsonObject:
        """Return the reply in one piece."""

    def events(self, parts: Iterable[Written]) -> Iterator[bytes]:
        """Yield the reply as server-sent events, while its parts come."""

    def failure(self, err: VisionError) -> Iterable[bytes]:
        """Return how a streamed reply ends after an error."""


class OpenAiViews:
    """The views; what they open they add to ``resources``, which the caller closes."""

    def __init__(self, service: VisionService) -> None:
        self._answerer, self._settings = Answerer(service), service.settings

    def completions(self, resources: ExitStack) -> Reply:
        """Answer ``/v1/chat/completions``."""
        return self._answer(*_completion(), resources)

    def responses(self, resources: ExitStack) -> Reply:
        """Answer ``/v1/responses``."""
        return self._answer(*_response(), resources)

    def models(self) -> OpenAiModels:
        """Answer ``/v1/models``."""
        served = [spec for spec, presence in self._answerer.own_models() if presence.workers]
        theirs = ollamas_models(self._answerer.snapshot())
        return OpenAiModels(data=(*map(own_model, served), *theirs))

    def model(self, name: str) -> OpenAiModel:
        """Answer ``/v1/models/<model>``.

        Raises:
            NotOffered: there is no such model.
            ModelUnavailable: no worker serves it.
        """
        spec = self._answerer.find(name)
        if spec.family != OLLAMA:
            check_served(spec, self._answerer.presence(spec))
            return own_model(spec)
        found = named(ollamas_models(self._answerer.snapshot()), f"{spec.source}")
        if found is None:
            raise NotOffered(f"No Ollama server has a model {spec.source!r}.")
        return found

    def _answer(self, question: Question, form: ReplyForm, resources: ExitStack) -> Reply:
        spec = self._answerer.find(question.model)
        check_text([question.form, question.options.model_dump(mode="json")])
        answer = self._passed_on if spec.family == OLLAMA else self._own
        parts = answer(spec, question, resources)
        with naming(form.fields):
            first = next(parts)  # an error before the first part still determines the status
        if not question.stream:
            return Response(json.dumps(form.whole(first)), mimetype="application/json")
        events = form.events(chain([first], parts))
        return StreamedReply(ended_in_words(events, g.request_id, form.failure), EVENTS)

    def _own(self, spec: ModelSpec, question: Question, resources: ExitStack) -> Iterator[Written]:
        """Yield the whole answer of one of our own models."""
        asked = asked_in_chat(question.take_chat(), spec)
        asked.form, asked.options = question.form, question.options
        asked.for_chat = chat_fields("", question.form, question.think)
        answer = self._answerer.answer(spec, asked, self._read, resources)
        if answer is None:
            raise UnusableChat("The request has neither text nor an image.")
        yield answer

    def _passed_on(
        self, spec: ModelSpec, question: Question, resources: ExitStack
    ) -> Iterator[Written]:
        """Yield the answer of a model of Ollama, part by part if it is to be streamed."""
        chat = question.take_chat()
        fields: JsonObject = {
            "messages": chat.messages,
            "options": question.options.model_dump(mode="json", exclude_unset=True),
            "format": question.form,
            "think": question.think,
        }
        fields = {name: value for name, value in fields.items() if value not in (None, {})}
        check_text(fields)
        sources = chat.images
        del chat  # its text takes more memory than all else while the client waits
        images = self._read(sources, self._answerer.check(spec)).all_images()
        sources.clear()
        published = self._answerer.pass_on(
            spec, OllamaCall.CHAT, fields, images, resources, stream=question.stream
        )
        if question.stream:
            yield from map(by_ollama, published.reply_parts(client_of(request.environ)))
        else:
            yield by_ollama(self._answerer.wait(published).raw or {})

    def _read(self, sources: Any, deadline: float) -> ReadImages[bytes]:  # noqa: ANN401 - strings
        most = self._settings.max_images
        return read_sources(sources, most, self._settings, deadline, client_of(request.environ))


def _completion() -> tuple[Question, ReplyForm]:
    asked = validated(CompletionRequest, read_object(request))
    return asked.question(), CompletionReply(asked, g.request_id)


def _response() -> tuple[Question, ReplyForm]:
    asked = validated(ResponseRequest, read_object(request))
    return asked.question(), ResponseReply(asked, g.request_id)
