"""The views of Ollama's API.

Requests for Ollama's models are passed on to Ollama; our own models answer in Ollama's form.
"""

import json
import time
from contextlib import ExitStack

from flask import Response, g, request

from api.answering.answerer import Answerer
from api.answering.asked import Asked, asked_in_chat, check_length
from api.answering.chat import read_chat
from api.answering.streaming import Reply
from api.http import request_id
from api.http.client_connection import client_of
from api.http.json_bounds import check_text
from api.http.request_images import decode_images
from api.http.request_parsing import read_object, read_options
from api.ollama_compat import answers
from api.ollama_compat.streaming import streamed
from api.schemas import MAX_NAME, chat_fields, is_output_format
from api.service import VisionService
from shared.answer_schema import form_meant
from shared.errors import BadRequest, TooLarge
from shared.families import OLLAMA
from shared.images.several import ReadImages
from shared.messages import JsonObject
from shared.model_spec import ModelSpec
from shared.vocabulary import OllamaCall


class OllamaViews:
    """The views; what they open they add to ``resources``, which the caller closes."""

    def __init__(self, service: VisionService) -> None:
        self._answerer, self._settings = Answerer(service), service.settings

    def answer(self, call: OllamaCall, resources: ExitStack) -> Reply:
        """Answer ``/api/generate`` or ``/api/chat``."""
        body = read_object(request)
        spec = self._answerer.find(_model_name(body))
        _check_fields(body)
        if spec.family == OLLAMA:
            return self._pass_on(call, body, spec, resources)
        return self._answer_with_own_model(call, body, spec, resources)

    def show(self, resources: ExitStack) -> Response:
        """Answer ``/api/show``."""
        body = read_object(request)
        spec = self._answerer.find(_model_name(body))
        if spec.family != OLLAMA:
            return _json(answers.model_details(spec))
        fields = _without(body, "model", "name")
        published = self._answerer.pass_on(spec, OllamaCall.SHOW, fields, (), resources)
        return _json(self._answerer.wait(published).raw or {})

    def tags(self) -> Response:
        """Answer ``/api/tags``."""
        served = [spec for spec, presence in self._answerer.own_models() if presence.workers]
        return _json(answers.model_list(served, self._answerer.snapshot()))

    def ps(self) -> Response:
        """Answer ``/api/ps``."""
        models = [(spec, presence.workers) for spec, presence in self._answerer.own_models()]
        return _json(answers.loaded_models(models, self._answerer.snapshot()))

    def version(self) -> Response:
        """Answer ``/api/version``."""
        return _json({"version": self._answerer.snapshot().version or answers.API_VERSION})

    def _pass_on(
        self, call: OllamaCall, body: JsonObject, spec: ModelSpec, resources: ExitStack
    ) -> Reply:
        """Pass a request on to Ollama, and Ollama's reply back to the client as it arrives."""
        stream = body.get("stream") is not False
        messages, sources = body.pop("messages", None), body.pop("images", None)
        chat = read_chat(messages) if call == OllamaCall.CHAT else None
        fields = _without(body, "model", "stream")
        if chat is not None:
            sources, fields["messages"] = chat.images, chat.messages
        check_text(fields)
        images = self._decode(sources).all_images()
        del (
            chat,
            messages,
            sources,
        )  # their text takes more memory than all else while the client waits
        self._answerer.check(spec)
        published = self._answerer.pass_on(spec, call, fields, images, resources, stream=stream)
        if not stream:
            return _json(self._answerer.wait(published).raw or {})
        parts = published.reply_parts(client_of(request.environ))
        first = next(parts)  # an error before the first part still determines the status
        return streamed(first, parts, g.request_id, request_id.for_reply())

    def _answer_with_own_model(
        self, call: OllamaCall, body: JsonObject, spec: ModelSpec, resources: ExitStack
    ) -> Reply:
        """Have one of our own models answer, and return its result in Ollama's form."""
        is_chat = call == OllamaCall.CHAT
        asked = _asked_in_chat(body, spec) if is_chat else _asked_to_generate(body, spec)
        check_text([asked.prompt, body])
        asked.form = form_meant(body.get("format"))
        asked.options = read_options(body.get("options"))
        asked.for_chat = chat_fields(body.get("system"), asked.form, body.get("think"))
        started = time.monotonic()
        answer = self._answerer.answer(spec, asked, lambda given, _: self._decode(given), resources)
        took_s = time.monotonic() - started
        reply = answers.complete_reply(_model_name(body), answer, took_s, chat=is_chat)
        if body.get("stream") is False:
            return _json(reply)
        return streamed(*answers.split_reply(reply), g.request_id, request_id.for_reply())

    def _decode(self, sources: object) -> ReadImages[bytes]:
        limit = self._settings.max_images
        if isinstance(sources, list) and len(sources) > limit:
            raise TooLarge(f"There are {len(sources)} images; the limit is {limit}.")
        return decode_images(sources, self._settings)


def _asked_in_chat(body: JsonObject, spec: ModelSpec) -> Asked:
    body.pop("images", None)
    return asked_in_chat(read_chat(body.pop("messages", None)), spec)


def _asked_to_generate(body: JsonObject, spec: ModelSpec) -> Asked:
    """Take prompt and images out of a request for an answer.

    Raises:
        BadRequest: the prompt is no string, or too long.
    """
    prompt = body.pop("prompt", None)
    if prompt is not None and not isinstance(prompt, str):
        raise BadRequest("`prompt` is not a string.")
    asked = Asked(prompt or "", body.pop("images", None))
    check_length(spec, asked)
    return asked


def _model_name(body: JsonObject) -> str:
    name = body.get("model") or body.get("name")
    if not isinstance(name, str):
        raise BadRequest("`model` is missing, or is not a string.")
    if len(name) > MAX_NAME:
        raise BadRequest(f"`model` has more than {MAX_NAME} characters.")
    return name


def _check_fields(body: JsonObject) -> None:
    """Raise an error if a field has a value that Ollama would refuse, whichever model is asked."""
    read_options(body.get("options"))
    if not is_output_format(body.get("format")):
        raise BadRequest("`format` is neither `json` nor a JSON schema.")
    if not isinstance(body.get("stream"), bool | None):
        raise BadRequest("`stream` is neither true nor false.")


def _without(body: JsonObject, *names: str) -> JsonObject:
    return {name: value for name, value in body.items() if name not in names}


def _json(value: JsonObject) -> Response:
    return Response(json.dumps(value), mimetype="application/json")
