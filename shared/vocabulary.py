"""Enumerations that occur in URLs, messages, logs and replies."""

from enum import StrEnum


class OllamaCall(StrEnum):
    """The kind of a request to an Ollama server; all but ``vision`` are routes of its API."""

    VISION = "vision"
    GENERATE = "generate"
    CHAT = "chat"
    SHOW = "show"


class OperatorCommand(StrEnum):
    """What an operator can have all workers of a model do."""

    RECYCLE = "recycle"
    UNLOAD = "unload"


class Priority(StrEnum):
    """Who waits for an answer; persons are answered before bulk work."""

    PERSON = "person"
    BULK = "bulk"


THINK_LEVELS = ("low", "medium", "high", "max")
"""How much a model may be told to think, beside true and false: Ollama's words."""


class WorkerState(StrEnum):
    """What a worker says of its model in its heartbeat."""

    LOADING = "loading"
    DOWNLOADING = "downloading"
    READY = "ready"
    BUSY = "busy"
    DEGRADED = "degraded"
    UNLOADED = "unloaded"
    FAILED = "failed"

    @property
    def is_up(self) -> bool:
        """Whether the model is loaded, or will be with the next request."""
        return self in (
            WorkerState.READY,
            WorkerState.BUSY,
            WorkerState.DEGRADED,
            WorkerState.UNLOADED,
        )

    @property
    def serves(self) -> bool:
        """Whether a request that is queued now will be answered soon."""
        return self.is_up or self == WorkerState.LOADING
