"""Runs the vision tasks of a job by prompting a language model."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog

from shared.errors import BadRequest, OllamaFailed
from shared.messages import Job, JsonObject, Result
from shared.ollama_settings import OllamaSettings
from shared.tasks.answer import Usage
from shared.tasks.registry import find_task
from workers.llm.defaults import LlmDefaults
from workers.llm.lenient_parsing import UnusableAnswer
from workers.llm.task import ImagesPerPrompt, LlmTask
from workers.llm.tasks import LLM_TASKS
from workers.llm.wording import Wording, resolve

log = structlog.get_logger(__name__)

MAX_TOKENS = 1024
"""Limit where nobody sets one: a model that repeats itself in JSON would never stop."""

Generate = Callable[[JsonObject], Awaitable[JsonObject]]
"""Has a server generate: body of Ollama's ``/api/generate`` to its reply in one piece."""


class LlmTaskRunner:
    """Runs the tasks of one job."""

    def __init__(
        self, job: Job, defaults: LlmDefaults, environment: OllamaSettings, generate: Generate
    ) -> None:
        """Prepare.

        Args:
            job: the job; its ``ollama`` names the model.
            defaults: the model's defaults.
            environment: the operator's prompts.
            generate: raises a :class:`~shared.errors.VisionError` when no server answers.
        """
        assert job.ollama  # noqa: S101 - the engine refuses jobs without it
        self._job, self._ollama, self._defaults = job, job.ollama, defaults
        self._environment, self._generate = environment, generate

    async def run(self, images: Sequence[bytes]) -> Result:
        """Run the job's tasks on JPEG or PNG images, one after the other.

        Raises:
            OllamaFailed: neither the first nor the second answer can be used.
        """
        encoded = [base64.b64encode(image).decode() for image in images]
        return Result(
            {name: await self._payload(LLM_TASKS[name], encoded) for name in self._job.tasks}
        )

    async def _payload(self, task: LlmTask, images: Sequence[str]) -> Any:  # noqa: ANN401 - the task's type
        try:
            answers = await self._answers(task, _split(images, task.images))
        except (OllamaFailed, BadRequest) as err:  # 400 or 500, which differs between models
            is_about_images = task.images is ImagesPerPrompt.ALL and "image" in err.message
            if len(images) == 1 or not is_about_images:
                raise
            log.info("prompting image by image", model=self._ollama.model, reason=err.message)
            answers = await self._answers(task, _split(images, ImagesPerPrompt.EACH))
        return find_task(task.name).combine(answers)

    async def _answers(self, task: LlmTask, prompts: Sequence[Sequence[str]]) -> list[Any]:
        return [await self._answer(task, images) for images in prompts]

    async def _answer(self, task: LlmTask, images: Sequence[str]) -> Any:  # noqa: ANN401 - the task's type
        """Return what the model answered, after a second and stricter prompt if need be."""
        wording = resolve(task, self._request(), self._defaults, self._environment)
        prompt = wording.prompt
        reason = ""
        for text in (prompt, task.second_prompt(prompt)):
            reply = await self._generate(self._body(wording, text, images))
            try:
                # In a thread: repairing broken JSON may take a while.
                answer = await asyncio.to_thread(task.read, _answer_text(reply), self._defaults)
                is_cut = reply.get("done_reason") == "length"
                return task.marked(answer, is_cut=is_cut, usage=Usage.by_ollama(reply))
            except UnusableAnswer as err:
                reason = str(err)
                log.warning(
                    "unusable answer", model=self._ollama.model, task=task.name, reason=reason
                )
        raise OllamaFailed(
            f"{self._ollama.model} gave no usable {task.name} in two attempts: {reason}"
        )

    def _request(self) -> Wording:
        """Return what the request says itself."""
        body = self._ollama.body
        return Wording(
            self._job.prompt,
            body.get("system") or "",
            body.get("format"),
            body.get("think"),
            self._job.options.model_dump(mode="json", exclude_unset=True, exclude_none=True),
        )

    def _body(self, wording: Wording, prompt: str, images: Sequence[str]) -> JsonObject:
        fields: Mapping[str, Any] = {
            "system": wording.system or None,
            "think": wording.think,
            "format": wording.format,
            "keep_alive": self._defaults.keep_alive,
        }
        return {
            "model": self._ollama.model,
            "prompt": prompt,
            "images": list(images),
            "options": {"num_predict": MAX_TOKENS, **wording.options},
            **{name: value for name, value in fields.items() if value is not None},
        }


def _split(images: Sequence[str], by: ImagesPerPrompt) -> Sequence[Sequence[str]]:
    """Return the images of each prompt."""
    if by is ImagesPerPrompt.ALL:
        return [images]
    return [images[:1]] if by is ImagesPerPrompt.FIRST else [[image] for image in images]


def _answer_text(reply: JsonObject) -> str:
    """Return the text of an answer; some models put all of it into ``thinking``.

    Thinking that was cut off holds no answer: that would have followed.
    """
    if reply.get("response"):
        return str(reply["response"])
    return "" if reply.get("done_reason") == "length" else str(reply.get("thinking") or "")
