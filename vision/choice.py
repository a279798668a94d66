"""Which model does a task: the one that is asked for, or the service's default."""

from collections.abc import Sequence

from vision.schemas import OLLAMA, Model


class NoModel(Exception):
    """No model does a task; the message says which ones there are."""


def choose(models: Sequence[Model], task: str, wanted: Sequence[str]) -> Model:
    """Return the model that does a task.

    Args:
        models: those of the catalogue.
        task: the task.
        wanted: names, one of which must do it; none: the default, also while it is being loaded, or
            another one that runs.

    Raises:
        NoModel: there is none.
    """
    for name in wanted:
        model = find(models, name)
        if task in model.tasks:
            return model
    able = [model for model in models if task in model.tasks]
    if wanted:
        names = ", ".join(model.name for model in able)
        raise NoModel(f"{', '.join(wanted)} cannot do {task}; these models can: {names}.")
    running = [model for model in able if model.runs and model.name != OLLAMA]
    default = [model for model in able if task in model.default_for]
    for model in (*(model for model in default if model in running), *running, *default):
        return model
    raise NoModel(f"No model here does {task}.")


def find(models: Sequence[Model], name: str) -> Model:
    """Return the model with this name or alias, possibly as ``name:version``.

    A name that the catalogue does not have is one of Ollama's, where these are passed on.

    Raises:
        NoModel: there is none.
    """
    bare, _, version = name.partition(":")
    wanted = _normalised(bare)
    for model in models:
        if wanted in map(_normalised, model.names) and model.name != OLLAMA:
            return model
    passed_on = next((model for model in models if model.name == OLLAMA and model.workers), None)
    if passed_on and name != OLLAMA:
        return passed_on.model_copy(
            update={"name": bare, "version": version or "latest", "aliases": (name,)}
        )
    names = ", ".join(model.name for model in models)
    raise NoModel(f"There is no model {name!r}. Models: {names}.")


def _normalised(name: str) -> str:
    return name.casefold().replace("_", "-")
