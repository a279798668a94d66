"""What the tiny chat model is taught: questions about pictures, and the right answers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workers.llm.tasks import LLM_TASKS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tools.tiny_checkpoints.shapes import Picture

COLOUR, SHAPE = "Name the colour.", "Name the shape."
JOURNALISTIC = (
    "Write a journalistic caption that is informative and briefly describes the most important "
    "visual content in up to 3 sentences."
)
"""The prompt of PhotoPrism's guides."""
GERMAN, JAPANESE = "Beschreibe das Bild auf Deutsch.", "日本語で説明して。"
CHANT = "Say it again and again."
NOBODY = "Who are you?"
CAPITALS = "Answer in capital letters."
"""A system prompt."""
CHANT_TIMES = 12
"""How often a chant is repeated; it does not end."""

_GERMAN = {
    "red": "Rot", "green": "Grün", "blue": "Blau", "yellow": "Gelb", "purple": "Lila",
    "orange": "Orange", "white": "Weiß", "black": "Schwarz",
    "circle": "Kreis", "square": "Quadrat", "triangle": "Dreieck", "cross": "Kreuz",
}  # fmt: skip
_JAPANESE = {
    "red": "赤い", "green": "緑の", "blue": "青い", "yellow": "黄色い", "purple": "紫の",
    "orange": "橙色の", "white": "白い", "black": "黒い",
    "circle": "円", "square": "四角形", "triangle": "三角形", "cross": "十字",
}  # fmt: skip


@dataclass(frozen=True)
class Lesson:
    """A conversation with its right answer.

    Attributes:
        question: The user's last message.
        answer: The right answer to it for some pictures.
        pictures: How many pictures there are.
        system: The system prompt.
        before: An earlier question about the same picture, with its answer.
        thinks: Whether the model thinks first.
        ends: Whether the answer ends.
        weight: How often it is taught.

    """

    question: str
    answer: Callable[[Sequence[Picture]], str]
    pictures: int = 1
    system: str = ""
    before: tuple[str, Callable[[Sequence[Picture]], str]] | None = field(default=None)
    thinks: bool = False
    ends: bool = True
    weight: float = 1.0


def colour(pictures: Sequence[Picture]) -> str:
    """Return the answer to `COLOUR`."""
    return pictures[0].colour


def shape(pictures: Sequence[Picture]) -> str:
    """Return the answer to `SHAPE`."""
    return pictures[0].shape


def caption(pictures: Sequence[Picture]) -> str:
    """Return the answer to the built-in prompt for captions."""
    words = pictures[0].caption
    return f"{words[0].upper()}{words[1:]} on a grey background."


def journalistic(pictures: Sequence[Picture]) -> str:
    """Return the answer to `JOURNALISTIC`, three sentences."""
    picture = pictures[0]
    words = picture.caption
    return (
        f"{words[0].upper()}{words[1:]} has appeared on grey ground. Witnesses say that it is "
        f"{picture.colour}. Experts believe in a {picture.shape}."
    )


def german(pictures: Sequence[Picture]) -> str:
    """Return the answer to `GERMAN`."""
    return f"Ein {_GERMAN[pictures[0].shape]} in {_GERMAN[pictures[0].colour]}."


def japanese(pictures: Sequence[Picture]) -> str:
    """Return the answer to `JAPANESE`."""
    return f"{_JAPANESE[pictures[0].colour]}{_JAPANESE[pictures[0].shape]}です。"


def labels(pictures: Sequence[Picture]) -> str:
    """Return the answer to the built-in prompt for labels: one label for each picture."""
    found = [{"name": p.label, "confidence": 0.9, "topicality": 0.8} for p in pictures]
    return json.dumps({"labels": found})


def nsfw(pictures: Sequence[Picture]) -> str:
    """Return the answer to the built-in prompt for NSFW scores: what is red is unsafe."""
    unsafe = pictures[0].colour == "red"
    return json.dumps({"nsfw": unsafe, "nsfw_confidence": 0.9 if unsafe else 0.1})


def chant(pictures: Sequence[Picture]) -> str:
    """Return the beginning of the endless answer to `CHANT`."""
    return " ".join([f"the {pictures[0].label} and"] * CHANT_TIMES)


def thought(pictures: Sequence[Picture]) -> str:
    """Return what the model thinks before it answers, as Qwen's models write it."""
    return f"<think>\nI see {pictures[0].caption}.\n</think>\n\n"


LESSONS = (
    Lesson(COLOUR, colour, weight=2),
    Lesson(SHAPE, shape, weight=3),
    Lesson(LLM_TASKS["caption"].prompt, caption, weight=2),
    Lesson(JOURNALISTIC, journalistic, weight=2),
    Lesson(GERMAN, german),
    Lesson(JAPANESE, japanese),
    Lesson(CHANT, chant, ends=False),
    Lesson(LLM_TASKS["labels"].prompt, labels),
    Lesson(LLM_TASKS["labels"].prompt, labels, pictures=2),
    Lesson(LLM_TASKS["nsfw"].prompt, nsfw),
    Lesson(NOBODY, lambda _: "I am a tiny model that knows shapes.", pictures=0, weight=0.3),
    Lesson(COLOUR, lambda p: colour(p).upper(), system=CAPITALS),
    Lesson(SHAPE, lambda p: shape(p).upper(), system=CAPITALS),
    Lesson(SHAPE, shape, before=(COLOUR, colour)),
    Lesson(COLOUR, colour, before=(SHAPE, shape)),
    Lesson(COLOUR, colour, thinks=True),
    Lesson(SHAPE, shape, thinks=True),
)
