"""The environment, read in one place. Every variable has the prefix ``VISION_``."""

from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent
SPARE_THREADS = 8
"""HTTP threads beyond the request slots, so that health routes answer under full load."""

Words = Annotated[tuple[str, ...], NoDecode]
"""A comma-separated list in the environment."""
Finite = Annotated[float, Field(allow_inf_nan=False)]


def _words(value: object) -> object:
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


class OllamaSettings(BaseSettings):
    """Settings for Ollama, under the names that existing configurations have."""

    model_config = SettingsConfigDict(env_prefix="OLLAMA_", frozen=True, extra="ignore")

    enabled: bool = Field(
        default=False, description="pass models that are not in the catalogue on to Ollama"
    )
    host: Words = Field(
        (),
        description="Ollama servers; none: those of the row `ollama` in models.yaml, or "
        "`http://localhost:11434`",
    )
    api_key: str = Field("", description="bearer key for Ollama servers that have none in the row")
    caption_prompt: str = Field("", description="prompt for captions instead of the built-in one")
    labels_prompt: str = Field("", description="the same for labels")
    nsfw_prompt: str = Field("", description="the same for NSFW")
    restart_command: str = Field(
        "",
        description="shell command that restarts a server which stays slow; it finds the server's "
        "address in `OLLAMA_SERVER`, the model in `OLLAMA_MODEL`",
    )
    restart_url: str = Field(
        "", description="address that gets a POST with `server` and `model` for the same purpose"
    )

    @field_validator("host", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return _words(value)


class Settings(BaseSettings):
    """All settings; the README's table has the description of each."""

    model_config = SettingsConfigDict(env_prefix="VISION_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="address the API listens on; `0.0.0.0`: all")
    port: int = Field(5000, ge=1, le=65535, description="port of the API")
    flower_port: int = Field(5555, ge=1, le=65535, description="port of Flower")
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="port, on `VISION_HOST`, where a worker tells Prometheus its numbers; 0: none",
    )
    redis_url: str | None = Field(
        None, description="Redis to use; `make run` starts one of its own when this is not set"
    )
    models: Words = Field(
        ("efficientnet-lite0", "opennsfw"),
        description="models that this stack runs; of those that offer a task, the one that the "
        "catalogue prefers answers requests that name none",
    )
    timeout: Finite = Field(
        300, gt=0, lt=600, description="seconds a request may take; PhotoPrism gives up after 600"
    )
    request_slots: int = Field(
        40, ge=1, description="requests that one API process works on at once; beyond that 429"
    )
    api_processes: int = Field(1, ge=1, description="gunicorn processes of the API")
    max_body_mb: Finite = Field(32, gt=0, description="largest request body")
    max_images: int = Field(16, ge=1, description="most images in one request")
    max_megapixels: Finite = Field(50, gt=0, description="largest image, from its header")
    url_allow: Words = Field(
        (),
        description="hosts, addresses or CIDRs with private addresses that image URLs may name",
    )
    api_keys: Words = Field(
        (), description="keys, one of which each request must carry; none: everybody may ask"
    )
    fetch_timeout_s: Finite = Field(30, gt=0, description="seconds one image URL may take")
    restart_grace_s: int = Field(
        60, ge=1, description="seconds after a worker was last seen that requests wait for it"
    )
    stop_grace_s: int = Field(
        25, ge=0, description="seconds that requests under way get when the API stops"
    )
    batch_timeout_s: Finite = Field(
        120, gt=0, description="seconds one call of a model may take before its process is killed"
    )
    load_timeout_s: Finite = Field(
        600, gt=0, description="seconds a model may take to load (downloads not counted)"
    )
    models_dir: Path = Field(ROOT / "models", description="folder of the weights")
    catalog: Path = Field(ROOT / "models.yaml", description="the catalogue of models")
    device: str = Field("auto", description="`auto`, `cpu`, `cuda`, `cuda:1`, `xpu`, `mps`")
    torch_threads: int = Field(0, ge=0, description="CPU threads of a model; 0: torch decides")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="least level that is logged"
    )
    log_format: Literal["json", "console"] = Field(
        "json", description="`json`: one object a line; `console`: for a person"
    )

    @field_validator("models", "url_allow", "api_keys", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return _words(value)

    @cached_property
    def ollama(self) -> OllamaSettings:
        """The settings that begin with ``OLLAMA_``."""
        return OllamaSettings()

    @property
    def broker_url(self) -> str:
        """URL of Redis.

        Raises:
            ValueError: ``VISION_REDIS_URL`` is not set.
        """
        if not self.redis_url:
            msg = "VISION_REDIS_URL is not set: name the Redis to use, or start all with `make run`"
            raise ValueError(msg)
        return self.redis_url

    @property
    def threads(self) -> int:
        """HTTP threads of one API process."""
        return self.request_slots + SPARE_THREADS


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the settings of this process, read from its environment once."""
    return Settings()
