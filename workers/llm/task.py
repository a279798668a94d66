"""What a vision task is to a language model."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from shared.messages import JsonObject
from shared.ollama_settings import OllamaSettings
from shared.tasks.answer import Usage
from shared.tasks.registry import Task
from workers.llm.defaults import AnswerDefaults


class ImagesPerPrompt(Enum):
    """Which of a job's images go into one prompt."""

    FIRST = auto()
    """The first image; there is only this prompt."""
    EACH = auto()
    """One image; there is a prompt for each of them."""
    ALL = auto()
    """All images; one image where the server or the model accepts no more."""


@dataclass(frozen=True)
class LlmTask:
    """One vision task; everything that differs between tasks follows from these fields."""

    name: Task
    """The task in :mod:`shared.tasks` whose payloads the answers become."""
    prompt: str
    """Built-in prompt, for when neither the request nor the operator has one."""
    stricter_prompt: str
    """Follows the prompt in the second attempt, after an answer that could not be used."""
    images: ImagesPerPrompt
    read: Callable[[str, AnswerDefaults], Any]
    """Reads an answer, which the task's ``combine`` takes; raises ``UnusableAnswer``."""
    read_form: Callable[[str], Any] | None = None
    """Reads an answer in a form that was asked for, which a grammar has kept; ``None``: as any."""
    schema: JsonObject | None = None
    """JSON schema of the answer; ``None``: the answer is text."""
    prompt_setting: Callable[[OllamaSettings], str] = lambda _: ""
    """Returns the operator's prompt for all models; empty: there is none."""

    def marked(self, answer: Any, *, is_cut: bool, usage: Usage | None = None) -> Any:  # noqa: ANN401 - the task's type
        """Return an answer that says how it was written, if answers to this task can.

        Args:
            answer: as it was read.
            is_cut: whether the limit of tokens has ended it.
            usage: its tokens, and those of the conversation.
        """
        known = {"is_cut": is_cut, "usage": usage}
        fields = known.keys() & getattr(type(answer), "model_fields", {}).keys()
        return answer.model_copy(update={x: known[x] for x in fields}) if fields else answer

    def second_prompt(self, prompt: str) -> str:
        """Return the prompt of the second attempt, from that of the first."""
        return f"{prompt.strip()}\n\n{self.stricter_prompt}".strip()
