"""Makes the OpenAPI document from what views say of themselves.

:func:`operation` notes it at a view, in terms of pydantic's classes; :func:`make_document` writes
the document for all routes of an application.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

from flask import Flask
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from werkzeug.routing import Rule

from api.schemas import ErrorReply

JsonSchema = dict[str, Any]
Content = Mapping[str, type[BaseModel] | JsonSchema]
"""Media types with what a body of each is: a class, or a JSON schema."""
View = TypeVar("View", bound=Callable[..., Any])

JSON, TEXT = "application/json", "text/plain"
STRING: JsonSchema = {"type": "string"}
BYTES: JsonSchema = {"type": "string", "format": "binary"}
METHODS = ("get", "post", "put", "delete")
ON_ANY_ROUTE = (414, 431)
"""Statuses with which the server refuses a request by itself, whatever it asks."""
RETRIED = (429, 503)
"""Statuses of replies with ``Retry-After``."""
TAGS = {
    "vision": "captions, labels and NSFW scores of photos",
    "ollama": "Ollama's API in front of all models",
    "openai": "OpenAI's API in front of all models",
    "operation": "models, operators' commands, health and metrics",
}
"""Groups of operations, in the order in which the page shows them."""
_REFERENCE = "#/components/schemas/{model}"
_ARGUMENT = re.compile(r"<(?:[^<>]*:)?(\w+)>")
_KEYS = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "an API key"},
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "an API key as the user name or the password",
    },
}


class ReplyHeader(NamedTuple):
    """A header of replies with status 200, and of some errors."""

    meaning: str
    on_errors: tuple[int, ...] = ()
    """Statuses of these errors; each may have it."""

    @property
    def described(self) -> JsonSchema:
        """How the document describes it."""
        return {"schema": STRING, "description": self.meaning}


class Operation(NamedTuple):
    """What a view does, beside its name and its docstring."""

    tag: str
    reply: Content
    """The body of a reply with status 200; none: it is always refused."""
    errors: tuple[int, ...]
    query: type[BaseModel] | None
    body: Content
    words: Mapping[str, Iterable[str]]
    """What an argument in the path may be, where it may not be anything."""
    headers: Mapping[str, ReplyHeader] = {}
    """Headers of replies by name."""
    request_headers: Mapping[str, JsonSchema] = {}
    """Headers of a request by name, with what each may be."""

    @property
    def models(self) -> set[tuple[type[BaseModel], Any]]:
        """The classes, and whether they are read or written."""
        found: set[tuple[type[BaseModel], Any]] = set()
        for mode, content in (("validation", self.body), ("serialization", self.reply)):
            found |= {(kind, mode) for kind in content.values() if isinstance(kind, type)}
        return found


def operation(
    tag: str,
    *,
    reply: Content | None = None,
    errors: Iterable[int] = (),
    query: type[BaseModel] | None = None,
    body: Content | None = None,
    words: Mapping[str, Iterable[str]] | None = None,
) -> Callable[[View], View]:
    """Return a decorator that notes at a view what it does; see :class:`Operation`."""
    noted = Operation(tag, reply or {}, tuple(errors), query, body or {}, words or {})

    def note(view: View) -> View:
        view.operation = noted  # type: ignore[attr-defined]
        return view

    return note


def reply_header(
    name: str, meaning: str, on_errors: tuple[int, ...] = ()
) -> Callable[[View], View]:
    """Return a decorator that notes a header of replies at a documented view."""
    header = ReplyHeader(meaning, on_errors)

    def note(view: View) -> View:
        noted: Operation = view.operation  # type: ignore[attr-defined]
        view.operation = noted._replace(headers={**noted.headers, name: header})  # type: ignore[attr-defined]
        return view

    return note


def request_header(name: str, schema: JsonSchema) -> Callable[[View], View]:
    """Return a decorator that notes a header of requests at a documented view."""

    def note(view: View) -> View:
        noted: Operation = view.operation  # type: ignore[attr-defined]
        headers = {**noted.request_headers, name: schema}
        view.operation = noted._replace(request_headers=headers)  # type: ignore[attr-defined]
        return view

    return note


def make_document(
    app: Flask, max_images: int, errors_below: Mapping[str, type[BaseModel]]
) -> JsonSchema:
    """Return the OpenAPI document of an application.

    Args:
        app: the application.
        max_images: how many images a request may have.
        errors_below: bodies of errors below some paths, where they are not :class:`ErrorReply`.
    """
    rules = [(rule, *_noted(app, rule)) for rule in app.url_map.iter_rules()]
    noted = [(rule, view, note) for rule, view, note in rules if note is not None]
    errors = {(kind, "serialization") for kind in (ErrorReply, *errors_below.values())}
    models = errors.union(*(note.models for _, _, note in noted))
    ordered: Any = sorted(models, key=lambda model: (model[0].__name__, model[1]))
    references, definitions = models_json_schema(ordered, ref_template=_REFERENCE)
    schemas = definitions.get("$defs", {})
    for schema in schemas.values():
        _limit_images(schema, max_images)
    paths: dict[str, JsonSchema] = {}
    for rule, view, note in sorted(noted, key=lambda row: row[0].rule):
        described = _described(rule, view, note, references)
        below = (kind for path, kind in errors_below.items() if rule.rule.startswith(path))
        described["responses"] |= _errors(note, next(below, ErrorReply), references)
        path = paths.setdefault(_ARGUMENT.sub(r"{\1}", rule.rule), {})
        for method in METHODS:
            if method.upper() in (rule.methods or ()):
                path[method] = {**described, "operationId": f"{method}_{_identifier(rule)}"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Vision Workers", "version": "1"},
        "tags": [{"name": name, "description": meaning} for name, meaning in TAGS.items()],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": _KEYS},
    }


def _limit_images(schema: JsonSchema, count: int) -> None:
    images = schema.get("properties", {}).get("images", {})
    for option in images.get("anyOf", [images]):
        if option.get("type") == "array":
            option["maxItems"] = count


def _noted(app: Flask, rule: Rule) -> tuple[Any, Operation | None]:
    view = app.view_functions[rule.endpoint]
    return view, getattr(view, "operation", None)


def _identifier(rule: Rule) -> str:
    return re.sub(r"\W+", "_", _ARGUMENT.sub(r"\1", rule.rule)).strip("_") or "root"


def _described(rule: Rule, view: Any, note: Operation, references: Any) -> JsonSchema:  # noqa: ANN401
    summary, _, description = (view.__doc__ or "").strip().partition("\n")
    described: JsonSchema = {
        "tags": [note.tag],
        "summary": summary,
        "description": " ".join(description.split()),
        "parameters": [
            *(_in_path(name, rule, note.words.get(name)) for name in _ARGUMENT.findall(rule.rule)),
            *_in_query(note.query),
            *(
                {"name": name, "in": "header", "required": False, "schema": schema}
                for name, schema in note.request_headers.items()
            ),
        ],
        "responses": {},
    }
    if note.body:
        content = _content(note.body, "validation", references)
        described["requestBody"] = {"required": True, "content": content}
    if note.reply:
        content = _content(note.reply, "serialization", references)
        described["responses"]["200"] = {"description": "OK", "content": content}
    if note.headers:
        described["responses"]["200"]["headers"] = {
            name: header.described for name, header in note.headers.items()
        }
    if 401 in note.errors:
        described["security"] = [{}, *({name: []} for name in _KEYS)]
    return described


def _content(content: Content, mode: str, references: Any) -> JsonSchema:  # noqa: ANN401
    return {
        media: {"schema": references[kind, mode] if isinstance(kind, type) else kind}
        for media, kind in content.items()
    }


def _errors(note: Operation, kind: type[BaseModel], references: Any) -> JsonSchema:  # noqa: ANN401 - pydantic's mapping
    responses: JsonSchema = {}
    for status in sorted({*note.errors, *ON_ANY_ROUTE}):
        described: JsonSchema = {
            "description": HTTPStatus(status).phrase,
            "content": _content({JSON: kind}, "serialization", references),
        }
        headers = {
            name: header.described
            for name, header in note.headers.items()
            if status in header.on_errors
        }
        if status in RETRIED:
            headers["Retry-After"] = {"schema": {"type": "integer"}}
        if headers:
            described["headers"] = headers
        responses[str(status)] = described
    return responses


def _in_path(name: str, rule: Rule, words: Iterable[str] | None) -> JsonSchema:
    schema = {**STRING, "enum": list(words)} if words else {**STRING, "minLength": 1}
    if f"<uuid:{name}>" in rule.rule:
        schema = {**STRING, "format": "uuid"}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _in_query(query: type[BaseModel] | None) -> list[JsonSchema]:
    if query is None:
        return []
    schema = query.model_json_schema()
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "description": property_.pop("description", ""),
            "schema": property_.get("anyOf", [property_])[0],  # there is no `null` in a query
        }
        for name, property_ in schema["properties"].items()
    ]
