"""Which task an own model does for clients of Ollama and OpenAI, and its result as a text."""

import json
from typing import NamedTuple

from shared.catalog import Assignment
from shared.families import FAMILIES
from shared.messages import Result
from shared.model_spec import ModelSpec
from shared.tasks import ANSWER
from shared.tasks.answer import Usage
from shared.tasks.registry import all_tasks, find_task


def assignment_for(spec: ModelSpec, form: object, *, is_asked: bool) -> Assignment:
    """Return which task our own model does: preferably a structured one if a form is set.

    A model that chats answers what it is asked.
    """
    if is_asked and ANSWER in FAMILIES[spec.family].tasks:
        return Assignment(spec, (ANSWER,))
    tasks = list(all_tasks())
    if form:
        tasks.sort(key=lambda task: not task.is_structured)
    return Assignment(spec, (next(task.name for task in tasks if task.name in spec.tasks),))


class Written(NamedTuple):
    """A result as a language model would write it, or a part of it."""

    text: str = ""
    is_cut: bool = False
    """Whether the limit of tokens has ended it."""
    usage: Usage | None = None
    """``None``: it is not known."""


def result_as_text(result: Result, *, structured: bool) -> Written:
    """Return a result as a language model would write it: as JSON if ``structured``."""
    answers = [(find_task(name), payload) for name, payload in result.root.items()]
    if structured and not any(task.is_verbatim for task, _ in answers):
        return Written(json.dumps({task.name: task.to_data(payload) for task, payload in answers}))
    is_cut = any(getattr(payload, "is_cut", False) for _, payload in answers)
    usage = next(
        (used for _, payload in answers if (used := getattr(payload, "usage", None))), None
    )
    return Written("\n".join(task.as_text(payload) for task, payload in answers), is_cut, usage)
