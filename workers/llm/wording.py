"""What a language model is asked, and how it is to answer: whose word counts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.answer_schema import ANY_OBJECT
from shared.ollama_settings import OllamaSettings
from workers.llm.defaults import AnswerDefaults
from workers.llm.task import LlmTask


@dataclass(frozen=True)
class Wording:
    """A prompt with all that goes with it; of a request, only what it says itself."""

    prompt: str = ""
    system: str = ""
    format: Any = None
    """``json`` or a JSON schema; ``None``: free text."""
    think: Any = None
    """True, false or a level; ``None``: nobody says."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Generation options by Ollama's names."""


def resolve(
    task: LlmTask, request: Wording, defaults: AnswerDefaults, environment: OllamaSettings
) -> Wording:
    """Return what the request says, and for the rest the row, the environment or what is built in.

    Args:
        task: the vision task.
        request: what the client says.
        defaults: the model's, from its row in the catalogue.
        environment: the operator's prompts for all models.
    """
    asked = None if request.format == ANY_OBJECT and task.schema else request.format
    return Wording(
        prompt=request.prompt
        or defaults.prompts.get(task.name)
        or task.prompt_setting(environment)
        or task.prompt,
        system=request.system or defaults.system,
        format=asked or defaults.format or task.schema,
        think=defaults.think if request.think is None else request.think,
        options={**defaults.options, **request.options},
    )
