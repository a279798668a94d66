"""What a prompt is sent with where the request does not say it."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from shared.tasks.registry import Task


class AnswerDefaults(BaseModel):
    """Defaults of any model that chats: part of the ``parameters`` of its row in the catalogue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompts: dict[Task, str] = {}
    system: str = ""
    options: dict[str, Any] = {}
    think: Any = False
    format: Any = None
    threshold: float = Field(
        0.5, ge=0, le=1, description="NSFW scores of at least this value are unsafe"
    )
    rescale: bool = Field(
        default=False,
        description="map NSFW scores so that the threshold becomes 0.75, which PhotoPrism compares "
        "with",
    )


class LlmDefaults(AnswerDefaults):
    """Defaults of one model on Ollama servers.

    The fields are those of Ollama's ``/api/generate``, but for ``prompts``, ``threshold`` and
    ``rescale``.
    """

    keep_alive: Any = None
