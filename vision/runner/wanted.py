"""Which questions a command asks, by its options."""

from collections.abc import Sequence
from typing import NamedTuple

from vision.choice import NoModel, choose, find
from vision.runner.capacity import capacity
from vision.runner.work import Question
from vision.schemas import BASE_TASKS, OLLAMA, Model
from vision.service import Service

AUTO = "auto"
CHATS = "answer"
"""The task of models that chat."""


class CannotRun(Exception):
    """The command line asks for what cannot be done; the message says why."""


class Wanted(NamedTuple):
    """Which questions the command line asks for."""

    tasks: tuple[str, ...]
    """None: whatever the models do."""
    models: tuple[str, ...]
    """None: the default of each task."""
    prompt: str
    language: str
    default_tasks: tuple[str, ...] = BASE_TASKS
    """Of which those are asked that models do, if none is named."""

    def questions(self, models: Sequence[Model]) -> list[Question]:
        """Return a question for each task.

        Args:
            models: those of the catalogue.

        Raises:
            CannotRun: a task is unknown, or no model does it as asked.
        """
        for task in self.tasks:
            if task not in BASE_TASKS:
                raise CannotRun(f"There is no task {task!r}. Tasks: {', '.join(BASE_TASKS)}.")
        try:
            tasks = self.tasks or self._possible_tasks(models)
            return [self._question(task, choose(models, task, self.models)) for task in tasks]
        except NoModel as err:
            raise CannotRun(str(err)) from err

    def remarks(self, models: Sequence[Model], questions: Sequence[Question]) -> list[str]:
        """Return what people have to know of the models that are asked, as sentences."""
        return [
            f"{model.name}, the default for {question.task}, does not run here: "
            f"{question.model} is asked instead."
            for question in questions
            for model in models
            if not self.models and question.task in model.default_for
            if model.name != question.model
        ]

    def _possible_tasks(self, models: Sequence[Model]) -> list[str]:
        named = [find(models, name) for name in self.models]
        able = named or [model for model in models if model.runs and model.name != OLLAMA]
        tasks = [task for task in self.default_tasks if any(task in model.tasks for model in able)]
        if not tasks:
            raise CannotRun(
                "No model that runs does any of these tasks: see `vision models`. With --model, "
                "you can name one that does not run yet."
            )
        return tasks

    def _question(self, task: str, model: Model) -> Question:
        system = ""
        if self.language and task != "nsfw":
            if CHATS not in model.tasks:
                raise CannotRun(
                    f"{model.name} knows one language only. For {task} in {self.language}, name a "
                    "model that chats with --model: one with the task `answer` in `vision models`."
                )
            system = in_language(self.language)
        return Question.of(task, model, self.prompt, system)


def in_language(language: str) -> str:
    """Return the system prompt that has models which chat write in a language."""
    return f"Write everything in {language}."


def most_in_flight(concurrency: str, service: Service, questions: Sequence[Question]) -> int:
    """Return how many requests may be in flight.

    Args:
        concurrency: a number, or :data:`AUTO`: as many as the workers can take.
        service: who is asked about its workers.
        questions: what each photo is asked.

    Raises:
        CannotRun: it is neither.
    """
    if concurrency == AUTO:
        return capacity(service.models(), questions)
    if not concurrency.isdecimal() or int(concurrency) < 1:
        raise CannotRun(f"--concurrency is a number from 1 on, or `auto`, and not {concurrency!r}.")
    return int(concurrency)
