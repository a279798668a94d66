"""Celery reaches the Redis that the URL names for redis-py, and trusts whom redis-py trusts."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from shared.celery_app import make_celery
from shared.redis.connection import connect
from shared.redis.faults import describe
from shared.settings import Settings
from tests.certificates import by_tls, make_authority
from tests.stack import running_stack

PASSWORD = "p%40ss%3Aw%2Fo%25r%23d%3F"


@pytest.fixture(scope="module")
def plain_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of our own, without TLS, with a user whose password is `p@ss:w/o%r#d?`."""
    with running_stack(tmp_path_factory.mktemp("redis")) as stack:
        stack.redis.acl_setuser(
            "u", enabled=True, passwords=["+p@ss:w/o%r#d?"], keys=["*"], commands=["+@all"]
        )
        yield stack.redis_url


@pytest.fixture(scope="module")
def tls(plain_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The same Redis by TLS: its URL, and the certificate of an authority that nobody knows."""
    authority = make_authority(tmp_path_factory.mktemp("authority"))
    with by_tls(urlsplit(plain_url).port or 0, authority) as port:
        yield f"rediss://:secret@localhost:{port}/3", authority / "ca.pem"


@contextlib.contextmanager
def celery_at(url: str) -> Iterator[Any]:
    """Yield the client with which Celery sends commands."""
    app: Any = make_celery(Settings(redis_url=url), worker=True)
    try:
        with app.connection_for_read() as connection, connection.channel() as channel:
            yield channel.client
    finally:
        app.close()


def value_in(url: str, key: str) -> bytes | None:
    """Return what a key has, as redis-py reads the URL."""
    with connect(url) as client:
        value: bytes | None = client.get(key)
    return value


def test_celery_uses_the_same_user_and_database(plain_url: str) -> None:
    url = plain_url.replace("//", f"//u:{PASSWORD}@").replace("/0", "/3")
    with celery_at(url) as client:
        client.set("key", url)
    assert value_in(url, "key") == url.encode()


def test_celery_gives_no_password_to_a_server_whose_certificate_nobody_vouches_for(
    tls: tuple[str, Path],
) -> None:
    url, _ = tls
    with (
        pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED") as refused,
        celery_at(url),
    ):
        pass
    assert re.fullmatch(
        r"Redis cannot be reached over TLS: [^.]*certificate[^.]*\.", describe(refused.value)
    )


def test_celery_trusts_the_authority_that_the_url_names(
    tls: tuple[str, Path], plain_url: str
) -> None:
    url, ca = tls
    url = url.replace(":secret@", f"u:{PASSWORD}@")
    with celery_at(f"{url}?ssl_ca_certs={ca}&ssl_min_version=771") as client:
        client.set("by", "tls")
    assert value_in(plain_url.replace("/0", "/3"), "by") == b"tls"


def test_variables_of_another_program_do_not_lead_celery_elsewhere(
    plain_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"):
        monkeypatch.setenv(name, "redis://127.0.0.1:1/0")
    with celery_at(plain_url) as client:
        assert client.ping()
