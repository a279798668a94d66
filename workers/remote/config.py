"""Configuration of the Ollama servers: ``parameters`` of the row ``ollama`` in ``models.yaml``."""

from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from shared.catalog import Catalog
from shared.families import OLLAMA
from shared.faults import faults_of
from shared.model_spec import ModelSpec
from shared.ollama_settings import OllamaSettings
from shared.setting_rules import OLLAMA_PORT, Key, OllamaServer, without_repetition
from workers.llm.defaults import LlmDefaults

_Parameters = TypeVar("_Parameters", bound=LlmDefaults)
DEFAULT_URL = f"http://localhost:{OLLAMA_PORT}"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerConfig(_Strict):
    """One Ollama server: an entry of ``hosts``."""

    url: OllamaServer
    key: Key = Field("", description="sent as bearer token")
    parallel: int = Field(
        1, ge=1, description="requests sent at the same time; the server's OLLAMA_NUM_PARALLEL"
    )


class HealingOptions(_Strict):
    """When a model that has become slow is reloaded."""

    enabled: bool = True
    share: float = Field(
        0.5, gt=0, lt=1, description="fraction of its best speed below which a model is slow"
    )
    answers: int = Field(
        5,
        ge=1,
        description="number of answers whose median decides, multiplied by the number of requests "
        "running at the same time",
    )
    interval_s: float = Field(
        600, ge=1, description="shortest time between two attempts; doubles after each failed one"
    )
    unload_s: float = Field(30, gt=0, description="how long unloading may take")
    restart_interval_s: int = Field(1800, ge=1, description="shortest time between two restarts")


def _each_once(hosts: tuple[ServerConfig, ...]) -> tuple[ServerConfig, ...]:
    without_repetition(tuple(host.url for host in hosts))
    return hosts


class RemoteParameters(LlmDefaults):
    """Parameters of the row ``ollama``."""

    hosts: Annotated[tuple[ServerConfig, ...], AfterValidator(_each_once)] = ()
    poll_s: float = Field(5, gt=0, description="how often servers are asked which models they have")
    stall_s: float = Field(
        60, gt=0, description="silence after which a request moves to a server not yet tried"
    )
    healing: HealingOptions = HealingOptions()

    def servers(self, environment: OllamaSettings) -> tuple[ServerConfig, ...]:
        """Return the servers of ``OLLAMA_HOST``, else those of the row, else this machine's."""
        known = {config.url: config for config in self.hosts}
        named = [ServerConfig(url=url) for url in environment.host]
        configs = [known.get(config.url, config) for config in named] or list(self.hosts)
        configs = configs or [ServerConfig(url=DEFAULT_URL)]
        key = environment.api_key
        return tuple(
            config if config.key else config.model_copy(update={"key": key}) for config in configs
        )


def full_name(model: str) -> str:
    """Return a model's name with its tag, in lower case: Ollama ignores case."""
    return (model if ":" in model.rpartition("/")[2] else f"{model}:latest").lower()


def model_defaults(catalog: Catalog, model: str) -> LlmDefaults:
    """Return the defaults of a model from its own row, else from the row ``ollama``.

    Names are compared without case.

    Raises:
        ValueError: the row's parameters are invalid.
    """
    wanted = full_name(model)
    for row in _own_rows(catalog):
        if full_name(row.source or "") == wanted:
            return _read(row, LlmDefaults)
    return read_parameters(catalog.get(OLLAMA))


def read_parameters(spec: ModelSpec) -> RemoteParameters:
    """Return the parameters of the row ``ollama``.

    Raises:
        ValueError: they are invalid.
    """
    return _read(spec, RemoteParameters)


def check_rows(catalog: Catalog) -> None:
    """Read the parameters of all rows that the worker of Ollama's models will read.

    Raises:
        ValueError: some are invalid; the message names the row, and quotes no value.
    """
    read_parameters(catalog.get(OLLAMA))
    for row in _own_rows(catalog):
        _read(row, LlmDefaults)


def _own_rows(catalog: Catalog) -> list[ModelSpec]:
    """Return the rows of single models of Ollama."""
    return [row for row in catalog.models if row.family == OLLAMA and row.name != OLLAMA]


def _read(row: ModelSpec, kind: type[_Parameters]) -> _Parameters:
    try:
        return kind.model_validate(row.parameters)
    except ValidationError as err:
        faults = "; ".join(map(str, faults_of(err)))
        msg = f"the parameters of the row {row.name} in the catalogue are wrong: {faults}"
        raise ValueError(msg) from None
