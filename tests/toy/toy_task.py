"""A task and a family that exist only in tests, each registered in one place."""

from collections.abc import Sequence

from pydantic import BaseModel

from shared.families import FAMILIES, Family
from shared.tasks.registry import TaskSpec, register


class Comparison(BaseModel):
    """Whether the photos of one request are the same, and the instructions that the model got."""

    same: bool
    instructions: str


def _one(answers: Sequence[Comparison]) -> Comparison:
    return answers[0]


def _text(comparison: Comparison) -> str:
    return "the same" if comparison.same else "different"


COMPARE = register(
    TaskSpec(
        name="compare",
        payload=Comparison,
        combine=_one,
        as_text=_text,
        aliases=("diff",),
        on_base_route=False,
        needs_text=True,
    )
).name
FAMILIES["toy"] = Family("tests.toy.toy_family:Toy", frozenset({COMPARE}), chats=True)
