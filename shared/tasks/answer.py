"""The task ``answer``: whatever a client asks a model that chats, about images or without any."""

from collections.abc import Sequence

from pydantic import BaseModel, Field

from shared.tasks.registry import TaskSpec


class Answer(BaseModel):
    """What the model writes."""

    text: str
    is_cut: bool = Field(
        default=False, description="the limit of tokens, `num_predict`, has ended it"
    )


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
