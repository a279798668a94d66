"""The environment, read in one place. Variables begin with ``VISION_`` or ``OLLAMA_``."""

import math
import os
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.faults import faults_of
from shared.ollama_settings import OllamaSettings
from shared.setting_rules import (
    Address,
    Device,
    Finite,
    HostsAndNetworks,
    Keys,
    Link,
    NamedPath,
    Networks,
    Origins,
    RedisUrl,
    Words,
)

ROOT = Path(__file__).resolve().parent.parent
SPARE_THREADS = 8
"""HTTP threads for requests that take no slot, such as those of operators and monitoring."""
A_DAY_S = 24 * 60 * 60
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
"""The variables that name CA certificates to Python's HTTP clients, and to OpenSSL."""


class Settings(BaseSettings):
    """All settings; docs/configuration.md has the description of each in its table."""

    model_config = SettingsConfigDict(
        env_prefix="VISION_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    host: Address = Field(
        "127.0.0.1", description="address that the API listens on; `0.0.0.0` means all addresses"
    )
    port: int = Field(5000, ge=1, le=65535, description="port of the API")
    flower_port: int = Field(5555, ge=1, le=65535, description="port of Flower")
    flower_url: Link = Field(
        "",
        description="address of Flower for people's browsers, to which the page at `/` links; "
        "`make run` fills it in",
    )
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="port on `VISION_HOST` where a worker serves its metrics for Prometheus; 0 "
        "means none",
    )
    redis_url: RedisUrl = Field(
        None,
        description="URL of the Redis to use, `redis://` or `rediss://` (TLS); if it is not set, "
        "`make run` starts a Redis of its own",
    )
    models: Words = Field(
        ("efficientnet-lite0", "opennsfw"),
        description="models that this stack runs; the catalogue decides which of them answers a "
        "request that names no model",
    )
    timeout: Finite = Field(
        300,
        gt=0,
        lt=600,
        description="maximum seconds for a request; PhotoPrism gives up after 600",
    )
    request_slots: int = Field(
        40,
        ge=1,
        le=10_000,
        description="requests of persons that one API process handles at once, and likewise those "
        "of bulk work; any more wait",
    )
    slot_wait_s: Finite = Field(
        30, ge=0, description="maximum seconds that a request waits for a slot; then it gets 429"
    )
    body_timeout_s: Finite = Field(
        60, gt=0, description="maximum seconds for receiving the body of a request"
    )
    body_budget_mb: Finite = Field(
        256,
        gt=0,
        le=1_000_000,
        description="maximum size of the bodies of all requests in progress in MB; any more "
        "requests wait, as they do for a slot. All API processes share it, but 512 kB per slot are "
        "never refused",
    )
    trusted_proxies: Networks = Field(
        (),
        description="addresses or CIDR networks of proxies whose `X-Forwarded-For` names the "
        "client",
    )
    max_connections: int = Field(
        1000, ge=1, le=1_000_000, description="maximum number of connections to one API process"
    )
    api_processes: int = Field(
        1, ge=1, le=256, description="number of gunicorn processes of the API"
    )
    max_body_mb: Finite = Field(
        64, gt=0, le=1_000_000, description="maximum size of a request body in MB"
    )
    max_images: int = Field(
        16, ge=1, description="maximum number of images in one request; 256 for faces"
    )
    max_megapixels: Finite = Field(
        50,
        gt=0,
        le=1_000_000,
        description="maximum size of a decoded image in megapixels; a larger JPEG or JPEG 2000 is "
        "decoded at a reduced size, other larger images are refused",
    )
    url_allow: HostsAndNetworks = Field(
        (),
        description="hosts, addresses or CIDR networks that image URLs may lead to although they "
        "are private",
    )
    api_keys: Keys = Field(
        (),
        description="API keys; if there are any, each request to a route below `/api/` or `/v1/` "
        "must carry one of them",
    )
    operator_keys: Keys = Field(
        (),
        description="keys for operators' commands, which are API keys too; if there are none, any "
        "API key will do, and without API keys the commands are accepted only from this machine",
    )
    cors_origins: Origins = Field(
        (),
        description="origins of web pages that may use the API, in addition to those on localhost; "
        "`*` stands for any characters",
    )
    fetch_timeout_s: Finite = Field(
        30, gt=0, description="maximum seconds for fetching one image URL"
    )
    ca_bundle: str = Field(
        "",
        description="file or folder of CA certificates that the servers of image URLs may rely on, "
        "in addition to the public ones; if it is not set, `REQUESTS_CA_BUNDLE` or `SSL_CERT_FILE`",
    )
    restart_grace_s: int = Field(
        60,
        ge=1,
        le=A_DAY_S,
        description="seconds that requests wait for a worker after it was last seen",
    )
    stop_grace_s: int = Field(
        25,
        ge=0,
        le=A_DAY_S,
        description="seconds that requests in progress have to finish when the API stops",
    )
    decode_processes: int = Field(
        0,
        ge=0,
        le=256,
        description="processes of a worker that decode images; 0 chooses by the number of cores, "
        "from 2 to 4, or up to 16 where the model is on a GPU",
    )
    decode_timeout_s: Finite = Field(
        10,
        gt=0,
        description="maximum seconds for decoding one image, after which the process that decodes "
        "it is ended; an image for which that happens twice is refused",
    )
    batch_timeout_s: Finite = Field(
        120,
        gt=0,
        description="maximum seconds for a batch while the model's pace is unknown; later, it is "
        "ten times the usual time, but at least 30 s or this, whichever is less",
    )
    load_timeout_s: Finite = Field(
        600, gt=0, description="maximum seconds for loading a model, not counting downloads"
    )
    models_dir: NamedPath = Field(ROOT / "models", description="folder of the weights")
    catalog: NamedPath = Field(
        ROOT / "models.yaml", description="file with the catalogue of models"
    )
    device: Device = Field(
        "auto", description="device for the models: `auto`, `cpu`, `cuda`, `cuda:1`, `xpu` or `mps`"
    )
    torch_threads: int = Field(
        0,
        ge=0,
        le=1024,
        description="CPU threads of a model; 0: small models get the cores divided by the number "
        "of `VISION_MODELS`, others as many as torch chooses",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="minimum log level: `DEBUG`, `INFO`, `WARNING` or `ERROR`"
    )
    log_format: Literal["json", "console"] = Field(
        "json",
        description="`json` for one JSON object per line, `console` for lines that people read",
    )

    @cached_property
    def ollama(self) -> OllamaSettings:
        """The settings that begin with ``OLLAMA_``."""
        return OllamaSettings()

    @property
    def extra_ca_certificates(self) -> tuple[str, str]:
        """The variable that names more CA certificates, and their file or folder; or empty."""
        named = {name: os.environ.get(name, "") for name in CA_VARIABLES}
        named = {"VISION_CA_BUNDLE": self.ca_bundle, **named}
        return next(((name, path) for name, path in named.items() if path), ("", ""))

    @property
    def broker_url(self) -> str:
        """URL of Redis.

        Raises:
            ValueError: ``VISION_REDIS_URL`` is not set.
        """
        if not self.redis_url:
            msg = (
                "VISION_REDIS_URL is not set: name the Redis to use, or start everything with "
                "`make run`"
            )
            raise ValueError(msg)
        return self.redis_url

    @property
    def threads(self) -> int:
        """HTTP threads for requests of a priority; some are for clients that have none yet."""
        return self.request_slots + math.ceil(self.request_slots / 8)


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the settings of this process, read from its environment once.

    Raises:
        ValueError: some are invalid; the message names each variable, and quotes no value, which
            may hold a password.
    """
    try:
        settings = Settings()
        _ = settings.ollama
    except ValidationError as err:
        prefix = "OLLAMA" if err.title == OllamaSettings.__name__ else "VISION"
        faults = [(fault.where.partition(".")[0].upper(), fault.what) for fault in faults_of(err)]
        lines = [f"{prefix}_{name}: {what}." for name, what in faults]
        raise ValueError("\n".join(lines)) from None
    return settings
