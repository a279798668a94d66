"""What is said of a fetch that fails, and content codings; from a real server on loopback."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from api.http.fetch import MAX_REDIRECTS, fetch
from api.http.fetch_connection import AllowList
from launcher.ports import free_port
from shared.errors import ImageFetchFailed, TooLarge
from shared.units import MEGA
from tests.api.http.web_server import BODY, Site
from tests.stack import UP_S

LOOPBACK = AllowList(["127.0.0.0/8"])
BRIEF_S = 0.3


def get(url: str, allow: AllowList = LOOPBACK, timeout_s: float = 10) -> bytes:
    return fetch(url, allow=allow, max_mb=1, timeout_s=timeout_s)


def bare_deflate(data: bytes) -> bytes:
    """Deflate without zlib's header, as some servers send it."""
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeeze.compress(data) + squeeze.flush()


@pytest.mark.parametrize(
    ("page", "cause", "words"),
    [
        ("nothing", "cut off", "the server cut off the connection"),
        ("reset", "cut off", "the server cut off the connection"),
        ("half", "cut off", "the server cut off the connection"),
        ("half_in_chunks", "cut off", "the server cut off the connection"),
        ("garbage", "not HTTP", "not answered in valid HTTP"),
        ("announce/x", "not HTTP", "not answered in valid HTTP"),
        ("status/404", "status", "was answered with status 404"),
        (f"hops/{MAX_REDIRECTS + 1}", "redirects", "redirects too often"),
        ("silence", "too slow", f"did not deliver within {BRIEF_S} seconds"),
        ("drip", "too slow", f"did not deliver within {BRIEF_S} seconds"),
        ("encoded/br", "encoding", "cannot be decoded (br)"),
        ("encoded/gzip,zstd", "encoding", "cannot be decoded (zstd)"),
        ("encoded/gzip", "encoding", "cannot be decoded"),
    ],
)
def test_the_cause_is_in_the_message_and_in_the_log(
    site: Site, page: str, cause: str, words: str
) -> None:
    site.encoded_body = b"neither gzip nor anything else"
    with capture_logs() as logged, pytest.raises(ImageFetchFailed) as caught:
        get(site.url(page), timeout_s=BRIEF_S if cause == "too slow" else UP_S)
    assert words in caught.value.message
    assert [(line["event"], line["cause"], line["host"]) for line in logged] == [
        ("image fetch failed", cause, "127.0.0.1")
    ]


@pytest.mark.parametrize(
    ("host", "cause", "words"),
    [
        ("127.0.0.1", "refused", "the connection was refused"),
        ("nowhere.invalid", "DNS", "its host name cannot be resolved"),
        ("10.0.0.1", "private address", "leads to a private address"),
    ],
)
def test_a_server_that_cannot_be_reached_is_told_from_others(
    host: str, cause: str, words: str
) -> None:
    with capture_logs() as logged, pytest.raises(ImageFetchFailed) as caught:
        get(f"http://{host}:{free_port()}/")
    assert words in caught.value.message
    assert [line["cause"] for line in logged] == [cause]


def test_the_log_has_neither_password_nor_path_of_the_url(site: Site) -> None:
    urls = [
        site.url("status/404?token=secret", host="user:secret@127.0.0.1"),
        site.url("nothing?token=secret"),
        f"http://user:secret@127.0.0.1:{free_port()}/secret",
    ]
    for url in urls:
        with capture_logs() as logged, pytest.raises(ImageFetchFailed) as caught:
            get(url)
        assert logged
        assert "secret" not in f"{logged} {caught.value.message}"


def test_what_listens_on_a_private_address_cannot_be_told_from_what_does_not(site: Site) -> None:
    """Whether the port is open, speaks HTTP or is cut off: the message is the same."""
    pages = ("image", "nothing", "reset", "garbage", "status/404")
    urls = [site.url(page) for page in pages] + [f"http://127.0.0.1:{free_port()}/"]
    urls += [url.replace("http:", "https:") for url in urls]
    messages = set()
    for url in urls:
        with pytest.raises(ImageFetchFailed) as caught:
            get(url, AllowList([]))
        messages.add(caught.value.message)
    assert len(messages) == 1
    assert site.connections == 0


def test_a_server_that_does_not_speak_tls_is_named_so(site: Site) -> None:
    with pytest.raises(ImageFetchFailed, match="does not speak TLS as expected"):
        get(site.url("image").replace("http:", "https:"))


@pytest.mark.parametrize(
    ("coding", "encode"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("GZip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", bare_deflate),
        ("identity", bytes),
        ("deflate,gzip", lambda data: gzip.compress(zlib.compress(data))),
    ],
    ids=["gzip", "x-gzip", "capitals", "deflate", "bare-deflate", "identity", "two"],
)
def test_a_body_is_decoded_although_no_coding_was_asked_for(
    site: Site, coding: str, encode: Callable[[bytes], bytes]
) -> None:
    image = BODY * 20_000  # many times what is read at once
    site.encoded_body = encode(image)
    assert get(site.url(f"encoded/{coding}")) == image


@pytest.mark.parametrize("depth", [1, 2])
def test_a_bomb_is_too_large_and_not_unpacked_beyond_the_limit(site: Site, depth: int) -> None:
    bomb = bytes(100 * MEGA)
    for _ in range(depth):
        bomb = gzip.compress(bomb, 1)
    site.encoded_body = bomb
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match="larger than 1 MB"):
            get(site.url("encoded/" + ",".join(["gzip"] * depth)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * MEGA


def test_a_decoded_body_as_large_as_the_limit_is_returned(site: Site) -> None:
    site.encoded_body = gzip.compress(bytes(MEGA))
    assert get(site.url("encoded/gzip")) == bytes(MEGA)


def test_the_server_is_told_who_asks_and_that_no_coding_is_wanted(site: Site) -> None:
    headers = get(site.url("headers_sent")).decode()
    assert "User-Agent: vision-workers/" in headers
    assert "Accept-Encoding: identity" in headers
