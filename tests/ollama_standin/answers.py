"""The text of answers: the colour of each image, in the requested format."""

import io
import json
from typing import Any

from PIL import Image

from tests.ollama_standin.knobs import Knobs
from tests.ollama_standin.request_parsing import GenerationRequest, Refused

Colour = tuple[int, int, int]
BROKEN = '{"labels": [{'


def colour(image: bytes) -> Colour:
    """Return the colour of the first pixel.

    Raises:
        Refused: the bytes are not an image.
    """
    try:
        with Image.open(io.BytesIO(image)) as opened:
            red, green, blue = opened.convert("RGB").getpixel((0, 0))  # type: ignore[misc]
    except OSError:
        raise Refused(500, "Failed to load image or audio file") from None
    return int(red), int(green), int(blue)


def size(image: bytes) -> tuple[int, int]:
    """Return width and height."""
    with Image.open(io.BytesIO(image)) as opened:
        return opened.size


def compose(request: GenerationRequest, knobs: Knobs) -> str:
    """Return the whole answer."""
    colours = [colour(image) for image in request.images]
    if knobs.answer is not None:
        return knobs.answer
    if request.format is None:
        return (
            " ".join([*map(_name, colours), *([request.prompt] if knobs.echo else [])]) or "nothing"
        )
    schema = _guessed_schema(request) if request.format == "json" else request.format
    assert isinstance(schema, dict)
    text = json.dumps(_filled(schema, schema, colours, 100 if knobs.percent else 1))
    return f"Here is what I see:\n```json\n{text}\n```\nAnything else?" if knobs.fenced else text


def tokens(text: str, options: dict[str, Any]) -> tuple[list[str], str]:
    """Return tokens of four characters, up to ``stop`` or ``num_predict``, and why they end."""
    stops = options.get("stop") or []
    for stop in filter(None, [stops] if isinstance(stops, str) else stops):
        text = text.partition(stop)[0]
    pieces = [text[start : start + 4] for start in range(0, len(text), 4)]
    most = int(options.get("num_predict") or -1)
    return (pieces[:most], "length") if 0 < most < len(pieces) else (pieces, "stop")


def _name(seen: Colour) -> str:
    return "rgb {} {} {}".format(*seen)


def _guessed_schema(request: GenerationRequest) -> dict[str, Any]:
    """Return a schema for ``format: json``, where a model follows the words of the prompt."""
    words = f"{request.system} {request.prompt}".lower()
    share, name = {"type": "number"}, {"type": "string"}
    if "label" in words:
        label = {"type": "object", "properties": {"name": name, "confidence": share}}
        fields: dict[str, Any] = {"labels": {"type": "array", "items": label}}
    elif "nsfw" in words:
        fields = {"nsfw": {"type": "boolean"}, "nsfw_confidence": share}
    else:
        fields = {"caption": name}
    return {"type": "object", "properties": fields}


def _filled(
    schema: dict[str, Any], root: dict[str, Any], colours: list[Colour], scale: int
) -> object:
    """Return a value that follows the schema; numbers are the red fraction of the first image."""
    schema = _resolved(schema, root)
    if schema.get("type") == "object":
        fields = schema.get("properties", {})
        return {key: _filled(value, root, colours, scale) for key, value in fields.items()}
    if schema.get("type") == "array":
        item = schema.get("items", {"type": "string"})
        alone = [[one] for one in dict.fromkeys(colours)] or [[]]
        return [_filled(item, root, one, scale) for one in alone]
    return _scalar(schema, colours, scale)


def _scalar(schema: dict[str, Any], colours: list[Colour], scale: int) -> object:
    red = colours[0][0] / 255 if colours else 0.5
    if choices := schema.get("enum"):
        return choices[-1 if red >= 0.5 else 0]
    if "const" in schema:
        return schema["const"]
    scalars = {
        "number": round(red * (100 if schema.get("maximum", 1) > 1 else scale), 4),
        "integer": round(red * 100),
        "boolean": red >= 0.5,
        "null": None,
    }
    return scalars.get(schema.get("type", ""), " ".join(map(_name, colours)) or "nothing")


def _resolved(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """Follow ``$ref`` and take the first of several types, both of which pydantic writes."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        schema = _resolved(schema["anyOf"][0], root)
    if isinstance(schema.get("type"), list):
        schema = {**schema, "type": schema["type"][0]}
    return schema
