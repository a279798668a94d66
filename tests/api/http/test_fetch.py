"""Fetching, from a real web server on loopback, which is itself a private address."""

import time

import pytest

from api.http.fetch import MAX_REDIRECTS, MAX_URL, fetch
from api.http.fetch_connection import AllowList
from launcher.ports import free_port
from shared.errors import BadRequest, ImageFetchFailed, TooLarge
from shared.units import MEGA
from tests.api.http.private_hosts import LOOPBACK_SPELLINGS, OTHER_PRIVATE
from tests.api.http.web_server import BODY, FLOOD, Site

LOOPBACK = AllowList(["127.0.0.0/8"])
NOTHING = AllowList([])


def get(url: str, allow: AllowList = LOOPBACK, timeout_s: float = 10) -> bytes:
    return fetch(url, allow=allow, max_mb=1, timeout_s=timeout_s)


@pytest.mark.parametrize(
    ("entry", "host"),
    [
        pytest.param("127.0.0.0/8", "127.0.0.1", id="network"),
        pytest.param("127.0.0.1", "localhost", id="address-behind-a-name"),
        pytest.param("localhost", "localhost", id="name"),
        pytest.param("LocalHost", "LOCALHOST", id="name-in-capitals"),
    ],
)
def test_an_allowed_private_address_is_fetched_from(site: Site, entry: str, host: str) -> None:
    assert get(site.url("image", host), AllowList([entry])) == BODY


@pytest.mark.parametrize(
    ("entries", "host", "address", "admitted"),
    [
        (["192.168.1.0/24"], "nas", "192.168.1.7", True),
        (["192.168.1.9/24"], "nas", "192.168.1.7", True),
        (["192.168.1.0/24"], "nas", "192.168.2.7", False),
        (["fd00::/8"], "nas", "fd12::1", True),
        (["nas.lan", "10.0.0.1"], "NAS.lan", "10.9.9.9", True),
        (["nas.lan", "10.0.0.1"], "other.lan", "10.0.0.1", True),
        (["nas.lan"], "evil.nas.lan", "10.0.0.1", False),
        ([], "nas", "10.0.0.1", False),
    ],
)
def test_the_allow_list_may_have_names_addresses_and_networks(
    entries: list[str], host: str, address: str, *, admitted: bool
) -> None:
    assert AllowList(entries).admits(host, address) is admitted


@pytest.mark.parametrize("host", [*LOOPBACK_SPELLINGS, *OTHER_PRIVATE])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_private_addresses_are_refused_without_connecting(
    site: Site, scheme: str, host: str
) -> None:
    with pytest.raises(ImageFetchFailed, match=r"private address.*VISION_URL_ALLOW"):
        get(f"{scheme}://{host}:{site.server_port}/image", NOTHING)

    assert site.connections == 0


def test_a_redirect_to_a_private_address_is_refused_although_the_first_host_is_allowed(
    site: Site,
) -> None:
    url = site.url(f"to/{site.url('image')}", host="localhost")

    with pytest.raises(ImageFetchFailed, match="VISION_URL_ALLOW"):
        get(url, AllowList(["localhost"]))

    assert site.connections == 1


def test_some_redirects_are_followed(site: Site) -> None:
    assert get(site.url(f"hops/{MAX_REDIRECTS}")) == BODY


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_redirect_may_have_letters_that_are_not_escaped(site: Site, encoding: str) -> None:
    location = "/asked/été".encode(encoding).hex()
    assert get(site.url(f"to_bytes/{location}")) == b"/asked/%C3%A9t%C3%A9"


def test_more_redirects_are_not(site: Site) -> None:
    with pytest.raises(ImageFetchFailed, match="redirects too often"):
        get(site.url(f"hops/{MAX_REDIRECTS + 1}"))


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/", "http://", "data:,x"])
def test_a_redirect_to_anything_but_http_is_refused(site: Site, target: str) -> None:
    with pytest.raises((ImageFetchFailed, BadRequest)):
        get(site.url(f"to/{target}"))


def test_the_body_of_a_redirect_is_not_read(site: Site) -> None:
    assert get(site.url("flood_and_redirect")) == BODY

    assert site.flooded < FLOOD


def test_a_body_as_large_as_the_limit_is_returned(site: Site) -> None:
    assert get(site.url(f"length/{MEGA}")) == bytes(MEGA)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(f"length/{MEGA + 1}", id="one-byte-over"),
        pytest.param(f"announce/{FLOOD}", id="announced-only"),
        pytest.param("flood", id="without-content-length"),
    ],
)
def test_a_larger_body_is_too_large_and_not_read_to_its_end(site: Site, page: str) -> None:
    with pytest.raises(TooLarge, match="larger than 1 MB"):
        get(site.url(page))

    assert site.flooded < FLOOD


@pytest.mark.parametrize("page", ["drip", "drip_headers", "silence"])
def test_a_slow_server_gets_no_more_time_than_allowed(site: Site, page: str) -> None:
    started = time.monotonic()

    with pytest.raises(ImageFetchFailed, match=r"did not deliver within 0\.3 seconds"):
        get(site.url(page), timeout_s=0.3)

    assert time.monotonic() - started < 5


@pytest.mark.parametrize("page", ["drip", "drip_headers"])
def test_the_connection_to_a_slow_server_is_closed(site: Site, page: str) -> None:
    with pytest.raises(ImageFetchFailed):
        get(site.url(page), timeout_s=0.1)

    assert site.disconnected.wait(timeout=60)


@pytest.mark.parametrize("code", [400, 403, 404, 410, 500, 503])
def test_an_error_of_the_server_is_reported_with_its_status(site: Site, code: int) -> None:
    with pytest.raises(ImageFetchFailed, match=f"was answered with status {code}"):
        get(site.url(f"status/{code}"))


@pytest.mark.parametrize("page", ["announce/500", "garbage"])
def test_a_broken_reply_is_a_failed_fetch(site: Site, page: str) -> None:
    with pytest.raises(ImageFetchFailed):
        get(site.url(page))


def test_a_closed_port_is_a_failed_fetch() -> None:
    with pytest.raises(ImageFetchFailed, match="cannot be reached"):
        get(f"http://127.0.0.1:{free_port()}/")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/cat.jpg",
        "file:///etc/passwd",
        "//127.0.0.1/cat.jpg",
        "cat.jpg",
        "http://",
        "http://[::1",
        "http://127.0.0.1:port/",
        "http://127.0.0.1:99999/",
        "http://two words/",
        "http://a..b/",
    ],
)
def test_what_is_not_an_http_url_is_a_bad_request(url: str) -> None:
    with pytest.raises(BadRequest):
        get(url)


@pytest.mark.parametrize(
    "url", ["http://" + "a" * 20_000_000, "http://x/" + "a" * MAX_URL], ids=["host", "path"]
)
def test_a_very_long_url_is_refused_before_it_costs_anything(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    started = time.process_time()
    with pytest.raises(BadRequest, match=f"limit is {MAX_URL}"):
        get(url)
    assert time.process_time() - started < 0.5  # it took 4 s and 2.7 GB
    assert len("".join(capsys.readouterr())) < MAX_URL


def test_proxies_of_the_environment_are_not_used(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert get(site.url("image")) == BODY
