"""Captions, labels and NSFW scores from models that answer in words."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import structlog

from shared.errors import BadRequest, OllamaFailed
from shared.messages import Job, JsonObject, Result
from shared.settings import OllamaSettings
from shared.tasks import CAPTION, LABELS, NSFW
from shared.tasks.caption import Caption
from shared.tasks.labels import Label, merge_labels
from shared.tasks.nsfw import Nsfw
from shared.tasks.registry import Task
from workers.llm.defaults import Defaults
from workers.llm.lenient_parsing import UnusableAnswer
from workers.llm.prompts import DEFAULTS, stricter
from workers.llm.tasks.caption import read_caption
from workers.llm.tasks.labels import LABELS_SCHEMA, read_labels
from workers.llm.tasks.nsfw import NSFW_SCHEMA, read_nsfw

log = structlog.get_logger(__name__)

MOST_TOKENS = 1024
"""Unless somebody says otherwise: a model that repeats itself in JSON finds no end."""
SCHEMAS = {LABELS: LABELS_SCHEMA, NSFW: NSFW_SCHEMA}

Generate = Callable[[str, JsonObject], Awaitable[JsonObject]]
"""Have some server generate: path, body; the reply in one piece."""
T = TypeVar("T")


class VisionCaller:
    """Asks one model about one photo."""

    def __init__(
        self, job: Job, defaults: Defaults, environment: OllamaSettings, ask: Generate
    ) -> None:
        """Prepare; ``ask`` raises a VisionError for what cannot be mended."""
        assert job.ollama  # noqa: S101 - the engine sees to it
        self._job, self._ollama, self._defaults = job, job.ollama, defaults
        self._environment, self._ask = environment, ask

    async def answer(self, images: Sequence[bytes]) -> Result:
        """Do the job's tasks on JPEG or PNG images, one after the other.

        Raises:
            OllamaFailed: the answers cannot be used, also when asked again.
        """
        encoded = [base64.b64encode(image).decode() for image in images]
        answer = {CAPTION: self._caption, LABELS: self._labels, NSFW: self._nsfw}
        return Result({task: await answer[task](encoded) for task in self._job.tasks})

    async def _caption(self, images: Sequence[str]) -> Caption:
        """Return the caption of the first image."""
        return await self._usable(CAPTION, images[:1], read_caption)

    async def _nsfw(self, images: Sequence[str]) -> tuple[Nsfw, ...]:
        """Return a verdict on each image."""

        def read(text: str) -> Nsfw:
            return read_nsfw(text, self._defaults.threshold)

        return tuple([await self._usable(NSFW, [image], read) for image in images])

    async def _labels(self, images: Sequence[str]) -> tuple[Label, ...]:
        """Return the labels of all crops of a photo; some models take only one image at once."""
        try:
            return await self._usable(LABELS, images, read_labels)
        except (OllamaFailed, BadRequest) as err:  # some servers call it a fault of the request
            if len(images) == 1 or "image" not in err.message:
                raise
            log.info("asking image by image", model=self._ollama.model, reason=err.message)
        found = [await self._usable(LABELS, [image], read_labels) for image in images]
        return merge_labels(label for labels in found for label in labels)

    async def _usable(self, task: Task, images: Sequence[str], read: Callable[[str], T]) -> T:
        """Ask, and ask once more and more strictly when the answer is of no use."""
        prompt = self._prompt(task)
        why = ""
        for text in (prompt, stricter(task, prompt)):
            reply = await self._ask("/api/generate", self._body(task, text, images))
            try:
                return await asyncio.to_thread(read, _words(reply))  # mending may take a while
            except UnusableAnswer as err:
                why = str(err)
                log.warning("unusable answer", model=self._ollama.model, task=task, reason=why)
        raise OllamaFailed(f"{self._ollama.model} gave no usable {task}, asked twice: {why}")

    def _prompt(self, task: Task) -> str:
        """Request, then catalogue, then environment, then ours."""
        environment = {
            CAPTION: self._environment.caption_prompt,
            LABELS: self._environment.labels_prompt,
            NSFW: self._environment.nsfw_prompt,
        }
        ours = DEFAULTS[task]
        return self._job.prompt or self._defaults.prompts.get(task) or environment[task] or ours

    def _body(self, task: Task, prompt: str, images: Sequence[str]) -> JsonObject:
        asked, defaults = self._ollama.body, self._defaults
        fields: Mapping[str, Any] = {
            "system": asked.get("system") or defaults.system or None,
            "think": asked.get("think", defaults.think),
            "format": asked.get("format") or defaults.format or SCHEMAS.get(task),
            "keep_alive": defaults.keep_alive,
        }
        options = self._job.options.model_dump(mode="json", exclude_unset=True, exclude_none=True)
        return {
            "model": self._ollama.model,
            "prompt": prompt,
            "images": list(images),
            "options": {"num_predict": MOST_TOKENS, **defaults.options, **options},
            **{name: value for name, value in fields.items() if value is not None},
        }


def _words(reply: JsonObject) -> str:
    """Return what the model said; some put all of it into their thoughts.

    Thoughts that were cut off are not it: the answer would have followed.
    """
    if reply.get("response"):
        return str(reply["response"])
    return "" if reply.get("done_reason") == "length" else str(reply.get("thinking") or "")
