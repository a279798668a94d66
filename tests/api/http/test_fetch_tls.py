"""Image URLs of servers with certificates of a private authority, made by the tests."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from api import create_app
from api.http.fetch import fetch
from api.http.fetch_connection import AllowList, AllowListAdapter, Connection
from shared.errors import ImageFetchFailed
from shared.settings import CA_VARIABLES, Settings
from tests.api.http.web_server import BODY, Site
from tests.certificates import make_authority, server_context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority's certificate, ``ca.pem``, and those that it has signed."""
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def serve(authority: Path) -> Iterator[Callable[[str], str]]:
    """Start a web server with one of the certificates; returns the URL of an image."""
    with contextlib.ExitStack() as servers:

        def start(leaf: str) -> str:
            return servers.enter_context(_running(authority, leaf)).url("image", "localhost")

        yield start


@contextlib.contextmanager
def _running(authority: Path, leaf: str) -> Iterator[Site]:
    context = server_context(authority, leaf)
    with Site() as site:
        site.socket = context.wrap_socket(site.socket, server_side=True)
        thread = threading.Thread(target=site.serve_forever, args=(0.01,))
        thread.start()
        yield site
        site.shutdown()
        thread.join()


def get(url: str, ca_path: str) -> bytes:
    secure = url.replace("http:", "https:")
    allow = AllowList(["127.0.0.0/8"])
    return fetch(secure, allow=allow, max_mb=1, timeout_s=10, ca_path=ca_path)


@pytest.mark.parametrize("source", ["ca.pem", "folder"])
def test_a_private_authority_that_is_named_is_trusted(
    authority: Path, serve: Callable[[str], str], source: str
) -> None:
    assert get(serve("good"), str(authority / source)) == BODY


@pytest.mark.parametrize(
    ("leaf", "source", "words"),
    [
        ("good", "", "certificate that is not trusted .*set VISION_CA_BUNDLE"),
        ("good", "misnamed.pem", "certificate that is not trusted .*set VISION_CA_BUNDLE"),
        ("expired", "ca.pem", "not valid at this time .*expired"),
        ("misnamed", "ca.pem", "certificate for another host name"),
    ],
    ids=["unknown-authority", "another-authority", "expired", "misnamed"],
)
def test_a_certificate_that_is_not_trusted_is_named(
    authority: Path, serve: Callable[[str], str], leaf: str, source: str, words: str
) -> None:
    with pytest.raises(ImageFetchFailed, match=words):
        get(serve(leaf), str(authority / source) if source else "")


def test_the_public_authorities_are_trusted_beside_a_private_one(
    authority: Path, serve: Callable[[str], str]
) -> None:
    allow, ca_path = AllowList(["127.0.0.0/8"]), str(authority / "ca.pem")
    adapter = AllowListAdapter(allow, Connection(), https=True, ca_path=ca_path)
    with requests.Session() as session:
        session.trust_env = False
        session.mount("https://", adapter)
        assert session.get(serve("good").replace("http:", "https:"), timeout=10).ok
    context = adapter.poolmanager.connection_pool_kw["ssl_context"]
    subjects = str([certificate["subject"] for certificate in context.get_ca_certs()])
    assert "Tests" in subjects
    assert "DigiCert" in subjects


@pytest.mark.parametrize("variable", ["VISION_CA_BUNDLE", *CA_VARIABLES])
def test_the_service_does_not_start_with_certificates_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    for name in CA_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    empty = tmp_path / "empty.pem"
    empty.touch()
    for path in (tmp_path / "missing.pem", empty):
        monkeypatch.setenv(variable, str(path))
        with pytest.raises(ValueError, match=f"{variable}: no CA certificates can be read"):
            create_app(Settings(redis_url="redis://127.0.0.1:1/0"))
