"""What a language model is asked with when the request does not say."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from shared.tasks.registry import Task


class Defaults(BaseModel):
    """Defaults of one model; a row of the catalogue has them as ``parameters``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompts: dict[Task, str] = {}
    system: str = ""
    options: dict[str, Any] = {}
    think: Any = False
    format: Any = None
    keep_alive: Any = None
    threshold: float = Field(0.5, ge=0, le=1, description="NSFW scores from here on are unsafe")
