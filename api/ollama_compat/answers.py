"""Ollama's API in front of our models: their answers in its form. No HTTP here."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from shared.catalog import Assignment
from shared.errors import BadRequest
from shared.families import OLLAMA
from shared.messages import JsonObject, Result
from shared.model_spec import ModelSpec
from shared.redis.ollama import OllamaSnapshot
from shared.redis.presence import WorkerStatus
from shared.tasks.registry import all_tasks, find_task

API_LEVEL = "0.12.0"
"""The version of Ollama whose API this is, told where no Ollama is there to tell its own."""
STARTED = datetime.now(UTC)


class Chat(NamedTuple):
    """The messages of a chat with their images taken out."""

    messages: list[Any]
    """``images`` holds numbers that point into :attr:`images`."""
    images: list[Any]

    @property
    def last(self) -> JsonObject:
        """What the user said last."""
        said = [m for m in self.messages if isinstance(m, dict) and m.get("role") == "user"]
        return said[-1] if said else {}


def take_images(messages: object) -> Chat:
    """Take the images out of chat messages.

    Raises:
        BadRequest: the messages are no list of objects.
    """
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise BadRequest("`messages` is not a list of objects.")
    images: list[Any] = []
    kept = []
    for message in messages:
        mine = message.get("images") or []
        if not isinstance(mine, list):
            raise BadRequest("`images` of a message is not a list of base64 strings.")
        numbers = list(range(len(images), len(images) + len(mine)))
        images += mine
        kept.append({**message, "images": numbers} if mine else message)
    return Chat(kept, images)


def assignment_for(spec: ModelSpec, wanted_format: object) -> Assignment:
    """Say what a model of our own does: where a format is wanted, data rather than a sentence."""
    tasks = list(all_tasks())
    if wanted_format:
        tasks.sort(key=lambda task: not task.is_structured)
    return Assignment(spec, (next(task.name for task in tasks if task.name in spec.tasks),))


def as_text(result: Result, *, structured: bool) -> str:
    """Return a result as the words of a language model: JSON where a format was asked for."""
    answers = [(find_task(name), payload) for name, payload in result.root.items()]
    if structured:
        return json.dumps({task.name: task.to_data(payload) for task, payload in answers})
    return "\n".join(task.as_text(payload) for task, payload in answers)


def reply(model: str, text: str, took_s: float, *, chat: bool) -> JsonObject:
    """Return the final object of ``/api/generate`` or ``/api/chat``."""
    said = {"message": {"role": "assistant", "content": text}} if chat else {"response": text}
    return {
        "model": model,
        "created_at": datetime.now(UTC).isoformat(),
        **said,
        "done": True,
        "done_reason": "stop",
        "total_duration": int(took_s * 1e9),
    }


def parts_of(whole: JsonObject) -> list[JsonObject]:
    """Split a reply as if it had been streamed: the words, then the end."""
    words = {**whole, "done": False}
    words.pop("done_reason", None)
    words.pop("total_duration", None)
    end = dict(whole)
    if "message" in end:
        end["message"] = {"role": "assistant", "content": ""}
    else:
        end["response"] = ""
    return [words, end]


def tags(rows: Sequence[ModelSpec], snapshot: OllamaSnapshot) -> JsonObject:
    """Return the body of ``/api/tags``: our models, then Ollama's."""
    return {"models": [*map(_entry, rows), *snapshot.tags]}


def running(
    rows: Sequence[tuple[ModelSpec, Sequence[WorkerStatus]]], snapshot: OllamaSnapshot
) -> JsonObject:
    """Return the body of ``/api/ps``: models that are loaded."""
    loaded: list[JsonObject] = []
    for row, workers in rows:
        sizes = [worker.memory_mb * 1_000_000 for worker in workers if worker.model_pid]
        if sizes:
            memory = {"size": sum(sizes), "size_vram": 0, "context_length": 0}
            loaded.append({**_entry(row), **memory, "expires_at": _NEVER})
    return {"models": [*loaded, *snapshot.ps]}


def shown(row: ModelSpec) -> JsonObject:
    """Return the body of ``/api/show`` for a model of our own."""
    return {
        "license": "",
        "modelfile": "",
        "parameters": "",
        "template": "",
        "details": _details(row),
        "model_info": {"general.architecture": row.family, "general.basename": row.name},
        "capabilities": ["completion", "vision"],
        "modified_at": STARTED.isoformat(),
    }


def ours(rows: Sequence[ModelSpec]) -> list[ModelSpec]:
    """Return the rows of models that run in workers of our own."""
    return [row for row in rows if row.family != OLLAMA]


_NEVER = "9999-12-31T23:59:59Z"


def _entry(row: ModelSpec) -> JsonObject:
    name = f"{row.name}:{row.version}"
    return {
        "name": name,
        "model": name,
        "modified_at": STARTED.isoformat(),
        "size": 0,
        "digest": hashlib.sha256(name.encode()).hexdigest(),
        "details": _details(row),
    }


def _details(row: ModelSpec) -> JsonObject:
    return {
        "parent_model": "",
        "format": "",
        "family": row.family,
        "families": [row.family],
        "parameter_size": "",
        "quantization_level": "",
    }
