"""The reference of the HTTP API as Markdown, from its OpenAPI document."""

from collections.abc import Iterable, Iterator
from typing import Any

INTRODUCTION = """# API reference

This page is made from the OpenAPI document of the service, which a running API also serves as
`/openapi.json`, and under `/docs` as a page to try it. [HTTP API](http-api.md) explains it in
words, with examples.
"""
GROUPS = {
    "vision": "Vision",
    "ollama": "Ollama's API",
    "openai": "OpenAI's API",
    "operation": "Operation",
}
"""Headings by tag, in their order; other tags follow under their own name."""
METHODS = ("get", "post", "put", "patch", "delete")
_PREFIX = "#/components/schemas/"


def as_markdown(document: dict[str, Any]) -> str:
    """Return a page with each operation by its tag, and each schema that they name."""
    by_tag: dict[str, list[str]] = {tag: [] for tag in GROUPS}
    for path, item in document["paths"].items():
        for method in METHODS:
            if operation := item.get(method):
                section = "\n".join(_operation(method, path, operation))
                by_tag.setdefault(operation["tags"][0], []).append(section)
    parts = [INTRODUCTION]
    for tag, sections in by_tag.items():
        if sections:
            parts += [f"## {GROUPS.get(tag, tag)}\n", *sections]
    parts.append("## Schemas\n")
    for name, schema in document["components"]["schemas"].items():
        parts.append("\n".join(_schema(name, schema)))
    return "\n".join(parts)


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"### {method.upper()} `{path}`\n"
    yield f"{operation['summary']}\n"
    if text := operation.get("description"):
        yield f"{text}\n"
    if parameters := operation.get("parameters"):
        yield from _table(
            ("parameter", "in", "type", "meaning"),
            (
                (_name(p["name"], required=p.get("required", False)), p["in"], _type(p["schema"]),
                 p.get("description") or p["schema"].get("description", ""))
                for p in parameters
            ),
        )  # fmt: skip
    if body := operation.get("requestBody"):
        rows = ((f"`{kind}`", _type(media.get("schema", {}))) for kind, media in _media(body))
        yield from _table(("body", "type"), rows)
    yield from _table(
        ("status", "meaning", "body"),
        (
            (status, reply["description"], _bodies(reply))
            for status, reply in operation["responses"].items()
        ),
    )


def _schema(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"### {name}\n"
    if text := schema.get("description"):
        yield f"{text}\n"
    if values := schema.get("enum"):
        yield f"One of {', '.join(f'`{value}`' for value in values)}.\n"
    required = schema.get("required", ())
    yield from _table(
        ("field", "type", "default", "meaning"),
        (
            (_name(field, required=field in required), _type(of), _default(of),
             of.get("description", ""))
            for field, of in schema.get("properties", {}).items()
        ),
    )  # fmt: skip


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Yield the lines of a table, or none if it has no rows."""
    lines = [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]
    if lines:
        yield f"| {' | '.join(head)} |"
        yield f"|{' --- |' * len(head)}"
        yield from lines
        yield ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _name(name: str, *, required: bool) -> str:
    return f"`{name}`, required" if required else f"`{name}`"


def _default(schema: dict[str, Any]) -> str:
    default = schema.get("default")
    return f"`{default}`" if isinstance(default, str | int | float) and default != "" else ""


def _media(of: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    content: dict[str, dict[str, Any]] = of.get("content", {})
    return content.items()


def _bodies(reply: dict[str, Any]) -> str:
    return ", ".join(
        f"`{kind}`: {_type(media['schema'])}" if media.get("schema") else f"`{kind}`"
        for kind, media in _media(reply)
    )


def _type(schema: dict[str, Any]) -> str:
    """Return the type in words, with links to named schemas."""
    for key, joint in (("anyOf", " or "), ("oneOf", " or "), ("allOf", " and ")):
        if alternatives := schema.get(key):
            return joint.join(dict.fromkeys(map(_type, alternatives)))
    if values := schema.get("enum") or ([schema["const"]] if "const" in schema else []):
        return " or ".join(f"`{value}`" for value in values)
    if reference := schema.get("$ref"):
        name = reference.removeprefix(_PREFIX)
        return f"[{name}](#{name.lower()})"
    kind = str(schema.get("type", "anything"))
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return f"{kind} ({schema['format']})" if "format" in schema else kind
