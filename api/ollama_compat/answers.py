"""Results and models of our own in the form of Ollama's API; knows nothing of HTTP."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from api.answering.results import Written
from shared.messages import JsonObject
from shared.model_spec import ModelSpec
from shared.redis.ollama import OllamaSnapshot
from shared.redis.presence import WorkerStatus
from shared.units import MEGA

API_VERSION = "0.12.0"
"""The version of Ollama whose API this is; reported if no Ollama server reports its own."""
STARTED_AT = datetime.now(UTC)
"""Reported as the time at which our own models were modified."""
_NEVER = "9999-12-31T23:59:59Z"


def complete_reply(model: str, answer: Written | None, took_s: float, *, chat: bool) -> JsonObject:
    """Return the body of a reply of ``/api/generate``, or ``/api/chat``, that is not streamed.

    Args:
        model: as the client calls it.
        answer: of the model; ``None``: it was asked nothing.
        took_s: how long it took.
        chat: whether this is a reply of ``/api/chat``.
    """
    text = answer.text if answer else ""
    content = {"message": {"role": "assistant", "content": text}} if chat else {"response": text}
    reason = "load"  # the purpose of an empty request
    if answer:
        reason = "length" if answer.is_cut else "stop"
    usage = answer.usage if answer else None
    counts = {"prompt_eval_count": usage.given, "eval_count": usage.written} if usage else {}
    return {
        "model": model,
        "created_at": datetime.now(UTC).isoformat(),
        **content,
        "done": True,
        "done_reason": reason,
        "total_duration": int(took_s * 1e9),
        **counts,
    }


def split_reply(reply: JsonObject) -> tuple[JsonObject, list[JsonObject]]:
    """Return a complete reply as the parts of a streamed one: all the text first, then the end."""
    text = {**reply, "done": False}
    for name in ("done_reason", "total_duration", "prompt_eval_count", "eval_count"):
        text.pop(name, None)
    end = dict(reply)
    if "message" in end:
        end["message"] = {"role": "assistant", "content": ""}
    else:
        end["response"] = ""
    return text, [end]


def model_list(specs: Sequence[ModelSpec], snapshot: OllamaSnapshot) -> JsonObject:
    """Return the body of ``/api/tags``: our own models, then Ollama's."""
    return {"models": [*map(_entry, specs), *snapshot.tags]}


def loaded_models(
    models: Sequence[tuple[ModelSpec, Sequence[WorkerStatus]]], snapshot: OllamaSnapshot
) -> JsonObject:
    """Return the body of ``/api/ps``: our own loaded models, then Ollama's.

    Args:
        models: our own models, each with the workers that serve it.
        snapshot: what Ollama's servers have.
    """
    loaded: list[JsonObject] = []
    for spec, workers in models:
        sizes = [worker.memory_mb * MEGA for worker in workers if worker.model_pid]
        if sizes:
            memory = {"size": sum(sizes), "size_vram": 0, "context_length": 0}
            loaded.append({**_entry(spec), **memory, "expires_at": _NEVER})
    return {"models": [*loaded, *snapshot.ps]}


def model_details(spec: ModelSpec) -> JsonObject:
    """Return the body of ``/api/show`` for one of our own models."""
    return {
        "license": "",
        "modelfile": "",
        "parameters": "",
        "template": "",
        "details": _details(spec),
        "model_info": {"general.architecture": spec.family, "general.basename": spec.name},
        "capabilities": ["completion", "vision"],
        "modified_at": STARTED_AT.isoformat(),
    }


def _entry(spec: ModelSpec) -> JsonObject:
    name = f"{spec.name}:{spec.version}"
    return {
        "name": name,
        "model": name,
        "modified_at": STARTED_AT.isoformat(),
        "size": 0,
        "digest": hashlib.sha256(name.encode()).hexdigest(),
        "details": _details(spec),
    }


def _details(spec: ModelSpec) -> JsonObject:
    return {
        "parent_model": "",
        "format": "",
        "family": spec.family,
        "families": [spec.family],
        "parameter_size": "",
        "quantization_level": "",
    }
