"""What Redis' errors mean: how to say them, and which of them pass by themselves."""

import ssl
from collections.abc import Iterator

import redis

_PASSING = frozenset(
    ("BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "READONLY",
     "TRYAGAIN", "UNBLOCKED")
)  # fmt: skip
"""First words of answers that say in which state Redis is, not what is wrong with the command:
https://github.com/redis/redis/blob/unstable/src/server.c, ``createSharedObjects``."""
_OF_PIPELINE = "of pipeline caused error: "
"""What redis-py puts before the answer to a command of a pipeline, after the command itself."""
_ARGUMENTS = ", with args beginning with"
"""What Redis puts before the arguments of a command that it does not know."""


def describe(error: BaseException) -> str:
    """Return a sentence that names the cause of an error of Redis, or of a library in front of it.

    A refusal is given in Redis' own words, but for a command's arguments, which redis-py repeats
    for a command of a pipeline, and Redis for one that it does not know: they may hold a part of an
    image, or the password.
    """
    cause = _redis_error(error)
    if cause is None or (isinstance(cause, redis.ConnectionError) and not _answer(cause)):
        why = next(filter(None, map(_fault_of_tls, _chain(error))), "")
        return f"Redis cannot be reached over TLS: {why}." if why else "Redis cannot be reached."
    if isinstance(cause, redis.TimeoutError):
        return "Redis does not answer."
    return f"Redis refuses: {_answer(cause).rstrip('.')}."


def passes_by_itself(error: BaseException) -> bool:
    """Return whether the same call may succeed later: Redis is away, or in a state that ends."""
    cause = _redis_error(error)
    if cause is None or isinstance(cause, redis.TimeoutError):
        return True
    if isinstance(cause, redis.AuthenticationError):
        return False
    if isinstance(cause, redis.ConnectionError):
        return True
    return _answer(cause).partition(" ")[0] in _PASSING


def is_refusal(error: BaseException) -> bool:
    """Return whether Redis has answered that it does not do what it was asked."""
    cause = _redis_error(error)
    return cause is not None and not isinstance(cause, redis.TimeoutError) and bool(_answer(cause))


def is_full(error: BaseException) -> bool:
    """Return whether Redis refuses to write because it is full."""
    cause = _redis_error(error)
    return cause is not None and _answer(cause).partition(" ")[0] == "OOM"


def _fault_of_tls(error: BaseException) -> str:
    """Return what is wrong with a certificate, or OpenSSL's name of another fault in words."""
    if not isinstance(error, ssl.SSLError):
        return ""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message.rstrip(".")
    reason: str | None = getattr(error, "reason", None)  # which those that Python raises lack
    return (reason or "").replace("_", " ").lower()


def _answer(error: redis.RedisError) -> str:
    """Return what Redis answered, from its first word on; empty if it is redis-py that speaks."""
    text = str(error).rpartition(_OF_PIPELINE)[2].partition(_ARGUMENTS)[0]
    if error.status_code and not text.startswith(error.status_code):
        text = f"{error.status_code} {text}"
    speaks = error.status_code or not isinstance(error, redis.ConnectionError)
    return text if speaks else ""


def _redis_error(error: BaseException) -> redis.RedisError | None:
    """Return redis-py's own error behind those that Celery and kombu make of it."""
    return next((one for one in _chain(error) if isinstance(one, redis.RedisError)), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__ or one.__context__
