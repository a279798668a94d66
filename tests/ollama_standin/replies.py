"""Models and answers as JSON objects of the API."""

import hashlib
import math
import time
from typing import Any

from tests.ollama_standin.engine import Chunk
from tests.ollama_standin.memory import Model
from tests.ollama_standin.request_parsing import GenerationRequest

CONTEXT = 4096


def tag(model: Model) -> dict[str, Any]:
    """Return an entry of /api/tags."""
    return {
        "name": model.name,
        "model": model.name,
        "modified_at": model.spec.modified_at,
        "size": model.spec.size,
        "digest": hashlib.sha256(model.name.encode()).hexdigest(),
        "details": _details(model),
    }


def running(model: Model, gpu_share: float) -> dict[str, Any]:
    """Return an entry of /api/ps."""
    entry = tag(model)
    del entry["modified_at"]
    return {
        **entry,
        "expires_at": _time(model.expires_at),
        "size_vram": round(model.spec.size * gpu_share),
        "context_length": CONTEXT,
    }


def details(model: Model) -> dict[str, Any]:
    """Return the answer of /api/show."""
    family = model.spec.family
    return {
        "modelfile": f"FROM {model.name}\n",
        "parameters": "temperature 1",
        "template": "{{ .Prompt }}",
        "details": _details(model),
        "model_info": {"general.architecture": family, f"{family}.context_length": CONTEXT},
        "capabilities": model.spec.capabilities,
        "modified_at": model.spec.modified_at,
    }


def line(request: GenerationRequest, chunk: Chunk, *, is_chat: bool) -> dict[str, Any]:
    """Return a part of an answer, or a whole one, of /api/generate or /api/chat."""
    answer: dict[str, Any] = {"model": request.model, "created_at": _time(time.time())}
    thinking = {"thinking": chunk.thinking} if chunk.thinking else {}
    if is_chat:
        answer["message"] = {"role": "assistant", "content": chunk.response, **thinking}
    else:
        answer |= {"response": chunk.response, **thinking}
    answer["done"] = bool(chunk.done_reason)
    if chunk.done_reason:
        answer["done_reason"] = chunk.done_reason
    if chunk.metrics and not is_chat:
        answer["context"] = list(range(8))
    return answer | chunk.metrics


def _details(model: Model) -> dict[str, Any]:
    return {
        "parent_model": "",
        "format": "gguf",
        "family": model.spec.family,
        "families": [model.spec.family],
        "parameter_size": "4.3B",
        "quantization_level": "Q4_K_M",
    }


def _time(moment: float) -> str:
    """Return a time in RFC 3339; forever is the year 2318, as in the real server."""
    if math.isinf(moment):
        return "2318-03-04T05:06:07.89Z"
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))
    return f"{whole}.{int(moment % 1 * 1e9):09}Z"
