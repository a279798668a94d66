"""What the catalogue says of Ollama: servers, healing, and defaults of its models."""

import re
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from shared.catalog import Catalog
from shared.families import OLLAMA
from shared.model_spec import ModelSpec
from shared.settings import OllamaSettings
from workers.llm.defaults import LlmDefaults

DEFAULT_URL = "http://localhost:11434"
DEFAULT_PORT = 11434


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HostRow(_Strict):
    """One Ollama server."""

    url: str
    key: str = Field("", description="sent as bearer token")
    parallel: int = Field(1, ge=1, description="requests it gets at once; its OLLAMA_NUM_PARALLEL")

    @field_validator("url")
    @classmethod
    def _complete(cls, url: str) -> str:
        """Take what Ollama's own OLLAMA_HOST takes: scheme and port may be left out."""
        if "://" not in url:
            url = f"http://{url}"
            if urlsplit(url).port is None:
                url = f"{url.rstrip('/')}:{DEFAULT_PORT}"
        if not re.match(r"https?://[^/]", url):
            msg = f"{url!r} is no address of an Ollama server; http://host:11434 is expected"
            raise ValueError(msg)
        return url.rstrip("/")


class Healing(_Strict):
    """When a slow model is loaded anew."""

    enabled: bool = True
    share: float = Field(0.5, gt=0, lt=1, description="of its best speed; below that it is slow")
    answers: int = Field(
        5, ge=1, description="answers whose median must be that slow; times those made at once"
    )
    interval_s: float = Field(
        600, ge=1, description="least time between two attempts; doubles when they are in vain"
    )
    unload_s: float = Field(30, gt=0, description="how long unloading may take")
    restart_interval_s: int = Field(1800, ge=1, description="least time between two restarts")


class RemoteParameters(LlmDefaults):
    """Parameters of the row ``ollama``."""

    hosts: tuple[HostRow, ...] = ()
    poll_s: float = Field(5, gt=0, description="how often servers are asked what they have")
    stall_s: float = Field(
        60, gt=0, description="silence after which a server not yet tried gets the request"
    )
    healing: Healing = Healing()

    def servers(self, environment: OllamaSettings) -> tuple[HostRow, ...]:
        """Return the servers: those of ``OLLAMA_HOST``, else the row's, else this machine's.

        Raises:
            ValueError: an address is wrong, or one is there twice.
        """
        known = {row.url: row for row in self.hosts}
        named = [HostRow(url=url) for url in environment.host]
        rows = [known.get(row.url, row) for row in named] or list(self.hosts)
        rows = rows or [HostRow(url=DEFAULT_URL)]
        if len({row.url for row in rows}) < len(rows):
            msg = "an Ollama server is named twice"
            raise ValueError(msg)
        key = environment.api_key
        return tuple(row if row.key else row.model_copy(update={"key": key}) for row in rows)


def defaults_of(catalog: Catalog, model: str) -> LlmDefaults:
    """Return the defaults of a model: its own row's, else those of the row ``ollama``.

    Raises:
        ValueError: the row's parameters are wrong.
    """
    for row in catalog.models:
        if row.family == OLLAMA and row.name != OLLAMA and row.source == model:
            return LlmDefaults.model_validate(row.parameters)
    return parameters_of(catalog.get(OLLAMA))


def parameters_of(row: ModelSpec) -> RemoteParameters:
    """Return the parameters of the row ``ollama``.

    Raises:
        ValueError: they are wrong.
    """
    return RemoteParameters.model_validate(row.parameters)
