"""What Redis is, and how it is set up, for people who look for what is wrong."""

from collections.abc import Callable
from functools import partial
from typing import Any

import redis
from pydantic import BaseModel, Field

from shared.units import MEGA


class RedisServer(BaseModel):
    """The server behind ``VISION_REDIS_URL``; ``null``: it does not say."""

    product: str = Field(description="`redis` or `valkey`")
    version: str
    eviction_policy: str | None = Field(None, description="`noeviction`: nothing is ever dropped")
    memory_mb: float | None = Field(None, description="memory that it uses")
    memory_limit_mb: float | None = Field(None, description="memory that it may use; 0: no limit")
    saves_snapshots: bool | None = Field(None, description="writes its data to disk (RDB)")
    saves_log: bool | None = Field(None, description="writes its data to disk (AOF)")


class Server:
    """Asks the server about itself."""

    def __init__(self, client: "redis.Redis") -> None:
        self._redis = client

    def describe(self) -> RedisServer:
        """Return what the server is."""
        said = _allowed(self._redis.info) or {}
        product = str(said.get("server_name", "redis"))  # Valkey says so; Redis has no such line
        version = said.get(f"{product}_version") or said.get("redis_version") or ""
        saves = _allowed(partial(self._redis.config_get, "save"))
        log = said.get("aof_enabled")
        return RedisServer(
            product=product,
            version=str(version),
            eviction_policy=said.get("maxmemory_policy"),
            memory_mb=_megabytes(said.get("used_memory")),
            memory_limit_mb=_megabytes(said.get("maxmemory")),
            saves_snapshots=None if saves is None else bool(saves.get("save")),
            saves_log=None if log is None else bool(log),
        )


def _allowed(command: Callable[[], Any]) -> dict[str, Any] | None:
    """Return the answer to a command; ``None``: it is forbidden, as operators may have it."""
    try:
        return dict(command())
    except redis.ResponseError:
        return None


def _megabytes(size: float | None) -> float | None:
    return None if size is None else round(size / MEGA, 1)
