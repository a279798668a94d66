"""The task ``answer``: whatever a client asks a model that chats, about images or without any."""

from collections.abc import Mapping, Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from shared.tasks.registry import TaskSpec


class Usage(BaseModel):
    """Tokens of a conversation, as the model counts them."""

    model_config = ConfigDict(frozen=True)

    given: int = Field(description="of the prompt, with its template and images")
    written: int = Field(description="of the answer, with thoughts and the token that ends it")

    @classmethod
    def by_ollama(cls, reply: Mapping[str, object]) -> Self | None:
        """Return what a reply of an Ollama server says of it; ``None``: nothing."""
        given, written = reply.get("prompt_eval_count"), reply.get("eval_count")
        if isinstance(given, int) and isinstance(written, int):
            return cls(given=given, written=written)
        return None


class Answer(BaseModel):
    """What the model writes."""

    text: str
    is_cut: bool = Field(
        default=False, description="the limit of tokens, `num_predict`, has ended it"
    )
    usage: Usage | None = None


def _first(answers: Sequence[Answer | None]) -> Answer | None:
    """Return the answer; there is one for all images."""
    return answers[0] if answers else None


def _text(answer: Answer) -> str:
    return answer.text


SPEC = TaskSpec(
    name="answer",
    payload=Answer,
    combine=_first,
    as_text=_text,
    on_base_route=False,
    needs_image=False,
    needs_text=True,
    is_verbatim=True,
)
