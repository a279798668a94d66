"""What a prompt is sent with where the request does not say it."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shared.answer_schema import form_meant
from shared.messages import JsonObject
from shared.options import Options
from shared.tasks.nsfw import DEFAULT_THRESHOLD
from shared.tasks.registry import Task


def _checked(options: JsonObject) -> JsonObject:
    """Refuse what would be refused in a request; what only Ollama knows, its servers check."""
    Options.model_validate(options)
    return options


class AnswerDefaults(BaseModel):
    """Defaults of any model that chats: part of the ``parameters`` of its row in the catalogue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompts: dict[Task, str] = {}
    system: str = ""
    options: Annotated[JsonObject, AfterValidator(_checked)] = {}
    think: bool | Literal["low", "medium", "high", "max"] = False
    format: Annotated[Any, AfterValidator(form_meant)] = None
    threshold: float = Field(
        DEFAULT_THRESHOLD, ge=0, le=1, description="NSFW scores of at least this value are unsafe"
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

    think: Any = False
    keep_alive: Any = None
