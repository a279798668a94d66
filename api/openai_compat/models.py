"""The list of models in the form of OpenAI's API."""

from collections.abc import Iterable
from datetime import UTC, datetime

from pydantic import BaseModel

from shared.catalog import normalise
from shared.model_spec import ModelSpec
from shared.redis.ollama import OllamaSnapshot

STARTED_AT = int(datetime.now(UTC).timestamp())
"""Reported as the time at which models were made."""


class OpenAiModel(BaseModel):
    """A model that can be asked."""

    id: str
    object: str = "model"
    created: int = STARTED_AT
    owned_by: str


class OpenAiModels(BaseModel):
    """The models that can be asked."""

    object: str = "list"
    data: tuple[OpenAiModel, ...]


def own_model(spec: ModelSpec) -> OpenAiModel:
    """Return a model of ours."""
    return OpenAiModel(id=spec.name, owned_by="vision-workers")


def ollamas_models(snapshot: OllamaSnapshot) -> tuple[OpenAiModel, ...]:
    """Return the models of Ollama's servers."""
    names = (tag.get("model") or tag.get("name") for tag in snapshot.tags)
    return tuple(OpenAiModel(id=str(name), owned_by="ollama") for name in names if name)


def named(models: Iterable[OpenAiModel], name: str) -> OpenAiModel | None:
    """Return the model of a name, whatever its case, or ``None``."""
    return next((model for model in models if normalise(model.id) == normalise(name)), None)
