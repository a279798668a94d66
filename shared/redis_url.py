"""The form of the URL of Redis."""

import re
from urllib.parse import parse_qs, urlsplit

TLS_OPTIONS = "ssl_"
"""How the options begin that a URL may have: others would hold for redis-py and not for Celery."""
_DATABASE = re.compile(r"(/[0-9]*)?")
_UNREADABLE = (
    "the URL cannot be read. Write it as redis://user:password@host:6379/0, and in a password "
    "% as %25, / as %2F, ? as %3F, # as %23, @ as %40, : as %3A"
)


def check_redis_url(url: str) -> None:
    """Check that redis-py, Celery and Flower take a URL alike.

    They take it for one of another host if its password has ``/``, ``?`` or ``#`` in it, and for
    one of database 0 if its path is not a number. They know sockets each by another name.

    Raises:
        ValueError: they would not; the message quotes no part of a password.
    """
    if not url.startswith(("redis://", "rediss://")):
        scheme = url.partition("://")[0] if "://" in url else ""
        msg = (
            f"the URL of Redis must begin with redis:// or rediss://, not {scheme or 'so'}. "
            "Unix sockets are not supported: let Redis listen on a port of 127.0.0.1"
        )
        raise ValueError(msg)
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # whose message quotes what it could not read
        raise ValueError(_UNREADABLE) from None
    if parts.fragment or "@" in parts.path:
        raise ValueError(_UNREADABLE)
    if not _DATABASE.fullmatch(parts.path):
        msg = "its path must be the number of a database, as in redis://host:6379/0"
        raise ValueError(msg)
    options = parse_qs(parts.query, keep_blank_values=True)
    if options and parts.scheme == "redis":
        msg = "redis:// takes no options; if there is a ? in the password, write it as %3F"
        raise ValueError(msg)
    if not all(name.startswith(TLS_OPTIONS) for name in options):
        msg = f"it takes only options that begin with {TLS_OPTIONS}, such as ssl_ca_certs=FILE"
        raise ValueError(msg)
