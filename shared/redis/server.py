"""What Redis is, and how it is set up, for people who look for what is wrong."""

from collections.abc import Callable
from functools import partial
from typing import Any

import redis
from pydantic import BaseModel, Field

from shared.redis.faults import describe
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
    refuses: str = Field("", description="what it answers to a write; empty: it takes writes")
    most_sent_mb: float | None = Field(
        None, description="what it may have to send at once without closing a connection; 0: all"
    )


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
        buffers = _allowed(partial(self._redis.config_get, "client-output-buffer-limit"))
        return RedisServer(
            product=product,
            version=str(version),
            eviction_policy=said.get("maxmemory_policy"),
            memory_mb=_megabytes(said.get("used_memory")),
            memory_limit_mb=_megabytes(said.get("maxmemory")),
            saves_snapshots=None if saves is None else bool(saves.get("save")),
            saves_log=None if log is None else bool(log),
            refuses=self._refusal(),
            most_sent_mb=_megabytes(_limit_of_clients(*buffers.values()) if buffers else None),
        )

    def check_writable(self) -> None:
        """Check that it takes writes: heartbeats of workers, images and messages.

        Raises:
            redis.RedisError: it does not.
        """
        self._redis.set("vision:writable", 1, px=1000)

    def _refusal(self) -> str:
        try:
            self.check_writable()
        except redis.ResponseError as err:
            return describe(err)
        return ""


def _allowed(command: Callable[[], Any]) -> dict[str, Any] | None:
    """Return the answer to a command; ``None``: it is forbidden, as operators may have it."""
    try:
        return dict(command())
    except redis.ResponseError:
        return None


def _limit_of_clients(limits: str) -> int:
    """Return the lowest limit of ordinary clients, in bytes; 0: there is none.

    Args:
        limits: as in ``normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60``.
    """
    words = limits.split()
    first = words.index("normal") + 1
    return min((int(word) for word in words[first : first + 2] if word != "0"), default=0)


def _megabytes(size: float | None) -> float | None:
    return None if size is None else round(size / MEGA, 1)
