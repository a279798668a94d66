"""Who takes part: models, those that follow prompts once for each prompt."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vision.choice import NoModel, find
from vision.runner.wanted import CHATS, CannotRun, in_language
from vision.runner.work import Question
from vision.schemas import BASE_TASKS, OLLAMA, Model

_NAMED = re.compile(r"(\w[\w .-]{0,39}?) = ?(.*)")
"""A line of a file of prompts that gives its prompt a name."""


@dataclass(frozen=True)
class Contestant:
    """A model with a prompt, for one task."""

    task: str
    model: Model
    name: str
    """What people call it: the model's name, and that of the prompt where there are several."""
    prompt: str = ""
    """Empty: the one of the model's row."""
    system: str = ""

    @property
    def model_name(self) -> str:
        """Which model it is, whatever the prompt."""
        return f"{self.model.name}:{self.model.version}"

    @property
    def question(self) -> Question:
        """What it is asked about each photo."""
        return Question.of(self.task, self.model, self.prompt, self.system)


def read_prompts(path: Path) -> dict[str, str]:
    """Return the prompts of a file by their names.

    Each line is a prompt, or ``name = prompt``; after ``name =`` alone, the model's own prompt is
    meant. Empty lines, and those that begin with ``#``, are left out.

    Raises:
        CannotRun: the file cannot be read, has none, or two of one name.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeError) as err:
        raise CannotRun(f"The prompts cannot be read from {path}: {err}.") from err
    prompts: dict[str, str] = {}
    for line in lines:
        if not line or line.startswith("#"):
            continue
        named = _NAMED.fullmatch(line)
        name, prompt = named.groups() if named else (f"prompt {len(prompts) + 1}", line)
        if name in prompts:
            raise CannotRun(f"Two prompts in {path} are called {name!r}.")
        prompts[name] = prompt.strip()
    if not prompts:
        raise CannotRun(f"There is no prompt in {path}; write one to a line.")
    return prompts


def chosen_models(
    models: Sequence[Model], names: Sequence[str], tasks: Sequence[str]
) -> list[Model]:
    """Return the models that are named, each once; without names, all that run and do a task.

    Raises:
        CannotRun: one of them is unknown, or does not run, or there is none.
    """
    if not names:
        found = [model for model in models if model.served and model.name != OLLAMA]
    else:
        try:
            found = [find(models, name) for name in names]
        except NoModel as err:
            raise CannotRun(str(err)) from err
    chosen = {f"{model.name}:{model.version}": model for model in found}
    for model in chosen.values():
        if not model.served:
            raise CannotRun(f"{model.name} does not run here: start it, or leave it out.")
    able = [model for model in chosen.values() if set(model.tasks) & set(tasks)]
    if not able:
        raise CannotRun(f"No model that runs does {' or '.join(tasks)}: see `vision models`.")
    return able


def contestants(
    models: Sequence[Model],
    tasks: Sequence[str] = BASE_TASKS,
    prompts: Mapping[str, str] | None = None,
    language: str = "",
) -> tuple[list[Contestant], list[str]]:
    """Return who takes part in the comparison of each task, and what people have to know of it.

    Those of one model follow each other, so that each model is loaded once where few fit.

    Args:
        models: those that are compared.
        tasks: what they are compared at, as far as they do it.
        prompts: for captions of models that follow prompts, by name.
        language: of captions and labels, for models that follow instructions.
    """
    found = [
        contestant
        for model in models
        for task in tasks
        if task in model.tasks
        for contestant in _of(task, model, prompts or {}, language)
    ]
    return found, _remarks(found, prompts or {}, language)


def _of(task: str, model: Model, prompts: Mapping[str, str], language: str) -> list[Contestant]:
    system = in_language(language) if language and task != "nsfw" else ""
    label = _label(model)
    if not _follows(model):
        return [Contestant(task, model, label)]
    if task != "caption" or not prompts:
        return [Contestant(task, model, label, system=system)]
    return [
        Contestant(task, model, f"{label} · {name}", prompt, system)
        for name, prompt in prompts.items()
    ]


def _label(model: Model) -> str:
    """Return the name by which people asked for a model: Ollama's models have tags."""
    return f"{model.name}:{model.version}" if model.family == OLLAMA else model.name


def _follows(model: Model) -> bool:
    return CHATS in model.tasks


def _remarks(found: Sequence[Contestant], prompts: Mapping[str, str], language: str) -> list[str]:
    remarks = []
    deaf = list(dict.fromkeys(
        one.name for one in found if not _follows(one.model) and one.task != "nsfw"
    ))  # fmt: skip
    captioners = [one.name for one in found if not _follows(one.model) and one.task == "caption"]
    if prompts and captioners:
        remarks.append(
            f"Models that do not follow prompts were asked once, without any: "
            f"{', '.join(captioners)}."
        )
    if language and deaf:
        remarks.append(
            f"Models that know one language only were not told to write {language}: "
            f"{', '.join(deaf)}."
        )
    return remarks
