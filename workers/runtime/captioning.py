"""What the families that generate captions have in common: a second attempt, and what it reads."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import structlog

from shared.messages import Instructions
from shared.tasks.caption import Caption
from workers.captions.reading import NoCaption, read_caption
from workers.model.family import Answer, PerImageModel
from workers.runtime.decoding.decoder import StaticDecoder

log = structlog.get_logger(__name__)


class CaptioningModel(PerImageModel):
    """Base of models that generate text.

    An image for which the model wrote nothing usable is answered once more, without the request's
    prompt and options: these are what has a model write nothing, or gibberish. Without them it
    would only write the same again.
    """

    _static: StaticDecoder | None = None
    """Generates plain texts; ``None``: transformers' ``generate`` does."""

    @property
    def acceleration(self) -> str:
        """How plain texts are decoded, for operators."""
        return self._static.description if self._static else "none"

    @property
    def first_batches(self) -> Sequence[int]:
        """Sizes of batches whose steps are recorded while loading."""
        return self._static.first_batches if self._static else ()

    @abstractmethod
    def generate(self, images: Sequence[Any], instructions: Instructions) -> list[Answer]:
        """Answer for each prepared image, in order; ``None``: the text is no answer to a task."""

    def predict_images(self, images: Sequence[Any], instructions: Instructions) -> list[Answer]:
        """Answer the tasks of ``instructions`` for each prepared image, in order."""
        answers = self.generate(images, instructions)
        plain = Instructions(tasks=instructions.tasks)
        unusable = [
            number
            for number, answer in enumerate(answers)
            if any(not answer.get(task) for task in instructions.tasks)
        ]
        if unusable and plain != instructions:
            log.info("answering without prompt and options", images=len(unusable))
            again = self.generate([images[number] for number in unusable], plain)
            for number, second in zip(unusable, again, strict=True):
                first = answers[number]
                answers[number] = {task: first.get(task) or value for task, value in second.items()}
        return answers


def caption_or_none(text: str, *, keep_opening: bool = False) -> Caption | None:
    """Return the caption in a generated text; ``None``, and a line in the log: there is none."""
    try:
        return Caption(text=read_caption(text, keep_opening=keep_opening))
    except NoCaption as err:
        log.warning("unusable caption", reason=f"the model {err}")
        return None
