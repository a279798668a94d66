"""Any chat model that sees images: captions, labels and NSFW scores, as it is asked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import structlog
from pydantic import Field

from shared.errors import BadRequest, UnusableForm, VisionError
from shared.messages import Instructions, Result
from shared.ollama_settings import OllamaSettings
from shared.options import Options
from shared.tasks.registry import find_task
from workers.llm.defaults import AnswerDefaults
from workers.llm.lenient_parsing import UnusableAnswer
from workers.llm.task import ImagesPerPrompt, LlmTask
from workers.llm.tasks import LLM_TASKS
from workers.llm.wording import Wording, resolve
from workers.model.family import LoadContext, PreparedJob, RefusingModel
from workers.runtime import generation
from workers.runtime.chat import ChatModel, Text
from workers.runtime.chat_inputs import Message, Turn, single_question
from workers.runtime.device import DtypeName
from workers.runtime.generation import GenerationParameters
from workers.runtime.pretrained import Pretrained

log = structlog.get_logger(__name__)

MAX_PIXELS = 280 * 48 * 48
"""280 tokens of Gemma 4, which is its own default, 630 of Qwen3-VL. PhotoPrism sends 720 x 720 at
most. So a batch of eight images and a model of 2 billion parameters fit into 8 GB."""


class ImageTextToTextParameters(GenerationParameters, AnswerDefaults):
    """Defaults of a chat model; requests override the prompts and options."""

    max_new_tokens: int = generation.MAX_NEW_TOKENS
    max_pixels: int = Field(MAX_PIXELS, gt=0, description="larger images are shrunk")
    quantization: Literal["", "4bit"] = Field("", description="of weights on a CUDA GPU")
    images: dict[str, Any] = Field(
        {}, description="settings of the type's own image processor, such as max_soft_tokens"
    )


@dataclass(frozen=True)
class Question:
    """A conversation about images of one job, which the model is to continue."""

    job: int
    """Position of the job in the batch."""
    messages: Sequence[Message]
    wording: Wording

    @property
    def images(self) -> int:
        """Number of images in it."""
        return sum(len(message.images) for message in self.messages)

    def stricter(self, task: LlmTask) -> "Question":
        """Return the question of the second attempt."""
        last = self.messages[-1]
        asked = last._replace(text=task.second_prompt(last.text))
        return replace(self, messages=[*self.messages[:-1], asked])


class ImageTextToText(RefusingModel):
    """Captions, labels and NSFW scores by any checkpoint with a chat template. It follows prompts.

    Labels are asked of all images of a job at once, NSFW scores of each, a caption of the first.
    """

    CPU_DTYPE: ClassVar[DtypeName] = "int8"

    def __init__(self, context: LoadContext) -> None:
        """Load the model and its processor."""
        self._defaults = ImageTextToTextParameters.model_validate(context.spec.parameters)
        self._environment = context.environment or OllamaSettings.model_construct()
        pretrained = Pretrained(context, self._defaults, self.CPU_DTYPE)
        self._chat = ChatModel(
            pretrained,
            self._defaults,
            self._defaults.max_pixels,
            self._defaults.images,
            in_four_bits=self._defaults.quantization == "4bit",
        )
        self.preparation, self.prepare = self._chat.preparation, self._chat.prepare

    @property
    def acceleration(self) -> str:
        """How the most probable texts are decoded, for operators."""
        return self._chat.acceleration

    def check(self, instructions: Instructions) -> None:
        """Refuse forms of answers that cannot be given: see :meth:`GeneratingModel.check`."""
        for name in instructions.tasks:
            task = LLM_TASKS[name]
            wording = self._wording(task, instructions)
            is_clients = instructions.output_schema and wording.format == instructions.output_schema
            if is_clients and task.read_form and not self._chat.keeps_forms:
                raise UnusableForm(
                    "This model cannot keep to a JSON schema, as its tokenizer is of an unusual "
                    "kind: ask for the form in the prompt, or ask another model."
                )
            self._chat.check(wording.format, Options(**wording.options))

    def predict_or_refuse(
        self, jobs: Sequence[PreparedJob], max_images: int
    ) -> list[Result | VisionError]:
        """Answer each job: see :meth:`workers.model.family.RefusingModel.predict_or_refuse`."""
        answers: list[dict[str, Any]] = [{} for _ in jobs]
        refused: dict[int, BadRequest] = {}
        for name in jobs[0].instructions.tasks:
            payloads = self._payloads(LLM_TASKS[name], jobs, max_images)
            for number, payload in enumerate(payloads):
                if isinstance(payload, BadRequest):
                    refused[number] = payload
                elif payload is not None:
                    answers[number][name] = payload
        return [refused.get(number) or Result(answer) for number, answer in enumerate(answers)]

    def _payloads(self, task: LlmTask, jobs: Sequence[PreparedJob], max_images: int) -> list[Any]:
        """Return the answer to one task for each job; ``None``: the model gave none.

        In place of an answer there is an error where the job cannot be answered.
        """
        questions = [
            Question(number, messages, wording)
            for number, job in enumerate(jobs)
            for wording in [self._wording(task, job.instructions)]
            for messages in _conversations(task, job, wording)
        ]
        found = self._ask(task, questions, max_images)
        missing = [number for number, answer in enumerate(found) if answer is None]
        again = [questions[number].stricter(task) for number in missing]
        for number, answer in zip(missing, self._ask(task, again, max_images), strict=True):
            # There may be no room for the stricter prompt, which is not the client's fault.
            found[number] = None if isinstance(answer, BadRequest) else answer
        payloads = []
        for job in range(len(jobs)):
            of_job = [a for q, a in zip(questions, found, strict=True) if q.job == job]
            refusal = next((a for a in of_job if isinstance(a, BadRequest)), None)
            answered = any(answer is not None for answer in of_job)
            combined = find_task(task.name).combine
            payloads.append(refusal or (combined(of_job) if answered else None))
        return payloads

    def _wording(self, task: LlmTask, instructions: Instructions) -> Wording:
        request = Wording(
            instructions.prompt,
            instructions.system,
            instructions.output_schema,
            instructions.think,
            instructions.options.model_dump(exclude_unset=True, exclude_none=True),
        )
        return resolve(task, request, self._defaults, self._environment)

    def _ask(self, task: LlmTask, questions: Sequence[Question], max_images: int) -> list[Any]:
        """Return what the model answers to each question; ``None``: nothing that can be used.

        In place of an answer there is an error where the question cannot be asked.
        """
        answers: list[Any] = []
        if not questions:
            return answers
        options = Options(**questions[0].wording.options)  # those of a batch are equal
        # The engine runs jobs alone that are seeded themselves, and knows no options of rows.
        for batch in _chunks(questions, max_images, are_apart=options.is_seeded):
            turns = [Turn(q.messages, q.wording.think, q.wording.format) for q in batch]
            texts = self._chat.generate(turns, options)
            self.steps = self._chat.steps
            answers += [
                text if isinstance(text, BadRequest) else self._read(task, question, text)
                for question, text in zip(batch, texts, strict=True)
            ]
        return answers

    def _read(self, task: LlmTask, question: Question, written: Text) -> Any:  # noqa: ANN401 - the task's type
        if task.read_form and question.wording.format and self._chat.keeps_forms:
            answer = task.read_form(written.text)
            return task.marked(answer, is_cut=written.is_cut, usage=written.usage)
        try:
            answer = task.read(written.text, self._defaults)
            return task.marked(answer, is_cut=written.is_cut, usage=written.usage)
        except UnusableAnswer as err:
            log.warning("unusable answer", task=task.name, reason=str(err))
            return None


def _conversations(
    task: LlmTask, job: PreparedJob, wording: Wording
) -> Iterator[Sequence[Message]]:
    """Yield the client's conversation, or those that the task needs."""
    if given := job.instructions.messages:
        told = [] if given[0].role == "system" else single_question("", (), wording.system)[:-1]
        yield [*told, *(Message(m.role, m.text, [job.images[n] for n in m.images]) for m in given)]
        return
    shares: list[Sequence[Any]] = [[image] for image in job.images]
    if task.images is not ImagesPerPrompt.EACH:
        shares = [job.images if task.images is ImagesPerPrompt.ALL else job.images[:1]]
    for images in shares:
        yield single_question(wording.prompt, images, wording.system)


def _chunks(
    questions: Sequence[Question], max_images: int, *, are_apart: bool
) -> Iterator[Sequence[Question]]:
    """Divide questions into batches of at most so many images; a question is never divided.

    Args:
        questions: those of a job are consecutive.
        max_images: a question that has more is a batch by itself.
        are_apart: whether the questions of several jobs may not share a batch.
    """
    chunk: list[Question] = []
    images = 0
    for question in questions:
        count = max(1, question.images)
        is_of_another = are_apart and chunk and chunk[-1].job != question.job
        if is_of_another or (chunk and images + count > max_images):
            yield chunk
            chunk, images = [], 0
        chunk.append(question)
        images += count
    if chunk:
        yield chunk
