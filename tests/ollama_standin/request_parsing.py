"""What is asked: bodies of requests as the real server reads them, and its refusals."""

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
FIVE_MINUTES = 300.0


class Refused(Exception):
    """The request ends with this status and ``{"error": message}``."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class _Common(BaseModel):
    """Strict, as the real server's types are; null means absent, unknown fields are ignored."""

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
class Ask:
    """One generation, whichever of the two paths it came by."""

    model: str
    prompt: str
    system: str
    images: tuple[bytes, ...]
    is_empty: bool
    format: str | dict[str, Any] | None
    options: dict[str, Any]
    keep_alive: float
    think: bool | None
    streams: bool

    @classmethod
    def generate(cls, body: bytes) -> Self:
        asked = _read(_Generate, body)
        prompt = asked.prompt or ""
        return cls._of(asked, prompt, asked.system or "", asked.images or ())

    @classmethod
    def chat(cls, body: bytes) -> Self:
        asked = _read(_Chat, body)
        messages = asked.messages or []
        said = [message.content or "" for message in messages if message.role != "system"]
        system = "\n".join(m.content or "" for m in messages if m.role == "system")
        images = [image for message in messages for image in message.images or ()]
        return cls._of(asked, "\n".join(said), system, images)

    @classmethod
    def _of(cls, asked: _Common, prompt: str, system: str, images: Sequence[str]) -> Self:
        if not asked.model:
            raise Refused(400, "invalid model name")
        return cls(
            model=asked.model,
            prompt=prompt,
            system=system,
            images=tuple(decoded(image) for image in images),
            is_empty=not (asked.messages if isinstance(asked, _Chat) else prompt),
            format=_format(asked.format),
            options=asked.options or {},
            keep_alive=_seconds(asked.keep_alive),
            think=_think(asked.think),
            streams=asked.stream is not False,
        )


def parsed(body: bytes) -> dict[str, Any]:
    """Return the JSON object in ``body``, or refuse it."""
    if not body.strip():
        raise Refused(400, "missing request body")
    try:
        value = json.loads(body)
    except ValueError as error:
        raise Refused(400, f"invalid character in request: {error}") from None
    if not isinstance(value, dict):
        raise Refused(400, "json: cannot unmarshal value into Go value of type api.Request")
    return value


Body = TypeVar("Body", bound=_Common)


def _read(kind: type[Body], body: bytes) -> Body:
    try:
        return kind.model_validate(parsed(body))
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise Refused(400, f"json: cannot unmarshal value into Go field {field}") from None


def decoded(image: str) -> bytes:
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


def _think(value: bool | str | None) -> bool | None:  # noqa: FBT001 - as it is sent
    if isinstance(value, str) and value not in ("high", "medium", "low", "max"):
        raise Refused(400, f'invalid think value: "{value}"')
    return None if value is None else bool(value)


def _seconds(value: float | str | None) -> float:
    """Read a number of seconds or a duration like ``1h30m``; below 0 means for ever."""
    if value is None:
        return FIVE_MINUTES
    if isinstance(value, str):
        parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)", value)
        if value not in ("0", "-0") and "".join(map("".join, parts)) != value.lstrip("+-"):
            raise Refused(400, f'time: invalid duration "{value}"')
        seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
        value = -seconds if value.startswith("-") else seconds
    return math.inf if value < 0 else float(value)
