"""Messages on queues, and what a worker needs beside them, written in one trip to Redis.

kombu writes a message by a method of its channel. In a process that publishes, that method writes
the rest in front of it, in the same pipeline.
"""

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from functools import cached_property
from typing import Any, NamedTuple

import redis
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport.redis import Channel, Transport
from kombu.utils.json import dumps


class Attachment(NamedTuple):
    """What is written before a message."""

    entries: Mapping[str, bytes]
    """Values by key."""
    ttl_s: int


_attached: ContextVar[Attachment | None] = ContextVar("attached", default=None)


@contextlib.contextmanager
def attached(entries: Mapping[str, bytes], ttl_s: int) -> Iterator[None]:
    """Have the message that is published in this block written together with these entries.

    Has no effect before :func:`install`.
    """
    token = _attached.set(Attachment(entries, ttl_s))
    try:
        yield
    finally:
        _attached.reset(token)


def install() -> None:
    """Have kombu use our channels in this process; harmless when done twice."""
    name = f"{__name__}:{_Transport.__name__}"
    TRANSPORT_ALIASES.update(redis=name, rediss=name)


class _Channel(Channel):
    @cached_property
    def _sender(self) -> "redis.Redis":
        """One client for all messages; kombu makes another one for each."""
        return redis.Redis(connection_pool=self.pool)

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:  # noqa: ANN401
        attachment = _attached.get() or Attachment({}, 0)
        # Without a transaction: a worker can do nothing with a message whose images are missing.
        with self._sender.pipeline(transaction=False) as pipe:
            for key, value in attachment.entries.items():
                pipe.set(key, value, ex=attachment.ttl_s)
            pipe.lpush(queue, dumps(message))
            pipe.execute()


class _Transport(Transport):
    Channel = _Channel
