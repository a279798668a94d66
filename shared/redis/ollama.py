"""What workers publish about the Ollama servers."""

from typing import Any

import redis
from pydantic import BaseModel, Field

SNAPSHOT_TTL_S = 30
"""Outlives several polls of the servers, each of which publishes a new snapshot."""


class OllamaHost(BaseModel):  # its name and texts are in the OpenAPI document
    """One Ollama server, as a worker knows it."""

    url: str
    up: bool
    error: str = ""
    parallel: int = Field(description="requests it gets at once")
    running: int = 0
    models: tuple[str, ...] = ()
    gpu_share: dict[str, float] = Field({}, description="of loaded models: memory on the GPU")
    tokens_per_s: dict[str, float] = Field({}, description="by model: median of the last answers")
    best_tokens_per_s: dict[str, float] = Field(
        {}, description="by model: the best it has been with as many requests at once"
    )
    load_s: dict[str, float] = Field({}, description="by model: seconds the last load took")
    failing: tuple[str, ...] = Field((), description="models that failed; others are asked first")
    healing: tuple[str, ...] = Field((), description="models that are being loaded anew")
    degraded: dict[str, str] = Field({}, description="models that stay slow, and why")
    heals: dict[str, int] = Field({}, description="attempts to heal, by outcome")


class OllamaSnapshot(BaseModel):
    """The models of all Ollama servers that are up, for the API; entries are as Ollama has them."""

    tags: tuple[dict[str, Any], ...] = ()
    ps: tuple[dict[str, Any], ...] = ()
    version: str = Field("", description="the oldest among the servers; empty: unknown")


class OllamaSnapshots:
    """``vision:ollama``: an :class:`OllamaSnapshot` as JSON."""

    def __init__(self, client: "redis.Redis") -> None:
        self._redis = client

    def put(self, snapshot: OllamaSnapshot) -> None:
        """Publish a snapshot, for some seconds."""
        self._redis.set("vision:ollama", snapshot.model_dump_json(), ex=SNAPSHOT_TTL_S)

    def get(self) -> OllamaSnapshot:
        """Return the latest snapshot; an empty one when no worker publishes any."""
        value: Any = self._redis.get("vision:ollama")
        return OllamaSnapshot.model_validate_json(value) if value else OllamaSnapshot()
