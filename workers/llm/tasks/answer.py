"""The task ``answer``: what a client asks freely, and what it gets of the model's text."""

import re

from shared.tasks import ANSWER
from shared.tasks.answer import Answer
from workers.captions.repetition import without_endless_end
from workers.llm.lenient_parsing import UnusableAnswer, answer_alone
from workers.llm.task import ImagesPerPrompt, LlmTask
from workers.llm.tasks import caption

STRICTER_PROMPT = (
    "Answer in words, directly and without any introduction. Say each thing once. Do not leave the "
    "answer empty."
)
_FENCED = re.compile(r"\A```\w*\n(.*?)\n?```\Z", re.DOTALL)
"""An answer that is nothing but a block of code; a block within an answer is part of it."""


def read_answer(text: str) -> Answer:
    """Return the answer in a text, in the form in which it is written.

    Raises:
        UnusableAnswer: there is none.
    """
    answer = answer_alone(text)
    if fenced := _FENCED.fullmatch(answer):
        answer = fenced[1].strip()
    if not answer.startswith(("{", "[")):
        answer = without_endless_end(answer)
    if not answer:
        raise UnusableAnswer("the model wrote nothing, or only repeated itself")
    return Answer(text=answer)


TASK = LlmTask(
    name=ANSWER,
    prompt=caption.PROMPT,
    stricter_prompt=STRICTER_PROMPT,
    images=ImagesPerPrompt.ALL,
    read=lambda text, _: read_answer(text),
    read_form=lambda text: Answer(text=text),
)
