"""Bodies of requests, validated as the real server does, with its error messages."""

import base64
import binascii
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
DEFAULT_KEEP_ALIVE_S = 300.0

Body = TypeVar("Body", bound="_Common")


class Refused(Exception):
    """The request is answered with this status and ``{"error": message}``."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class _Common(BaseModel):
    """Strict, as the types of the real server; null means absent, unknown fields are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore")

    model: str | None = None
    stream: bool | None = None
    format: Any = None
    options: dict[str, Any] | None = None
    keep_alive: float | int | str | None = None
    think: bool | str | None = None


class _Generate(_Common):
    prompt: str | None = None
    system: str | None = None
    images: list[str] | None = None


class _Message(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    role: str = ""
    content: str | None = None
    images: list[str] | None = None


class _Chat(_Common):
    messages: list[_Message] | None = None


@dataclass(frozen=True)
class GenerationRequest:
    """A request to generate, from either of the two routes."""

    model: str
    prompt: str
    system: str
    images: tuple[bytes, ...]
    is_empty: bool
    """It has no prompt, and only loads or unloads the model."""
    format: str | dict[str, Any] | None
    options: dict[str, Any]
    keep_alive: float
    think: bool | None
    streams: bool

    @classmethod
    def generate(cls, body: bytes) -> Self:
        fields = _read(_Generate, body)
        prompt = fields.prompt or ""
        return cls._of(fields, prompt, fields.system or "", fields.images or ())

    @classmethod
    def chat(cls, body: bytes) -> Self:
        fields = _read(_Chat, body)
        messages = fields.messages or []
        texts = [message.content or "" for message in messages if message.role != "system"]
        system = "\n".join(m.content or "" for m in messages if m.role == "system")
        images = [image for message in messages for image in message.images or ()]
        return cls._of(fields, "\n".join(texts), system, images)

    @classmethod
    def _of(cls, fields: _Common, prompt: str, system: str, images: Sequence[str]) -> Self:
        if not fields.model:
            raise Refused(400, "invalid model name")
        return cls(
            model=fields.model,
            prompt=prompt,
            system=system,
            images=tuple(decode(image) for image in images),
            is_empty=not (fields.messages if isinstance(fields, _Chat) else prompt),
            format=_format(fields.format),
            options=fields.options or {},
            keep_alive=_seconds(fields.keep_alive),
            think=_think(fields.think),
            streams=fields.stream is not False,
        )


def parse(body: bytes) -> dict[str, Any]:
    """Return the JSON object in ``body``.

    Raises:
        Refused: there is none.
    """
    if not body.strip():
        raise Refused(400, "missing request body")
    try:
        value = json.loads(body)
    except ValueError as error:
        raise Refused(400, f"invalid character in request: {error}") from None
    if not isinstance(value, dict):
        raise Refused(400, "json: cannot unmarshal value into Go value of type api.Request")
    return value


def _read(kind: type[Body], body: bytes) -> Body:
    try:
        return kind.model_validate(parse(body))
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise Refused(400, f"json: cannot unmarshal value into Go field {field}") from None


def decode(image: str) -> bytes:
    try:
        return base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(400, "illegal base64 data at input byte 0") from None


def _format(value: object) -> str | dict[str, Any] | None:
    if value in (None, ""):
        return None
    if value == "json" or isinstance(value, dict):
        return value
    raise Refused(
        500, f'invalid format: {json.dumps(value)}; expected "json" or a valid JSON Schema object'
    )


def _think(value: bool | str | None) -> bool | None:  # noqa: FBT001 - JSON
    if isinstance(value, str) and value not in ("high", "medium", "low", "max"):
        raise Refused(400, f'invalid think value: "{value}"')
    return None if value is None else bool(value)


def _seconds(value: float | str | None) -> float:
    """Return the seconds in a number or a duration such as ``1h30m``; negative means forever."""
    if value is None:
        return DEFAULT_KEEP_ALIVE_S
    if isinstance(value, str):
        parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)", value)
        if value not in ("0", "-0") and "".join(map("".join, parts)) != value.lstrip("+-"):
            raise Refused(400, f'time: invalid duration "{value}"')
        seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
        value = -seconds if value.startswith("-") else seconds
    return math.inf if value < 0 else float(value)
