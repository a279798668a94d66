"""Who may give operators' commands."""

import pytest
from flask.testing import FlaskClient

from api import create_app
from shared.settings import Settings

COMMAND = "/api/v1/vision/models/nobody/recycle"
"""There is no such model: 404 shows that the command would have been taken."""
TAKEN, NO_KEY, REFUSED = 404, 401, 403
BRIDGE = "172.18.0.1"
"""From where Docker has all requests to a published port come."""


def client_of(api_keys: tuple[str, ...] = (), operator_keys: tuple[str, ...] = ()) -> FlaskClient:
    settings = Settings(
        redis_url="redis://127.0.0.1:1/0", api_keys=api_keys, operator_keys=operator_keys
    )
    return create_app(settings).test_client()


@pytest.fixture(scope="module")
def without_keys() -> FlaskClient:
    return client_of()


def give(
    client: FlaskClient, key: str = "", address: str = "127.0.0.1", **headers: str
) -> tuple[int, str]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if key:
        sent["Authorization"] = f"Bearer {key}"
    reply = client.post(COMMAND, headers=sent, environ_overrides={"REMOTE_ADDR": address})
    return reply.status_code, reply.get_json()["error"]


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["localhost:5000", "127.0.0.1:5000", "[::1]:5000", "localhost"])
def test_without_keys_commands_are_taken_from_this_machine(
    without_keys: FlaskClient, address: str, host: str
) -> None:
    assert give(without_keys, address=address, Host=host)[0] == TAKEN


@pytest.mark.parametrize("address", [BRIDGE, "192.168.1.7", "::ffff:10.0.0.1", "fe80::1%eth0", ""])
def test_without_keys_commands_from_elsewhere_are_refused_and_told_what_to_do(
    without_keys: FlaskClient, address: str
) -> None:
    status, error = give(without_keys, address=address)
    assert status == REFUSED
    assert "VISION_OPERATOR_KEYS" in error


@pytest.mark.parametrize("name", ["X_Forwarded_For", "Forwarded", "X_Real_IP", "Via"])
def test_without_keys_commands_through_a_proxy_are_refused(
    without_keys: FlaskClient, name: str
) -> None:
    assert give(without_keys, **{name: "127.0.0.1"})[0] == REFUSED


@pytest.mark.parametrize("host", ["evil.example", "evil.example:5000", "localhost.evil.example"])
def test_without_keys_no_name_can_be_pointed_at_this_machine(
    without_keys: FlaskClient, host: str
) -> None:
    assert give(without_keys, Host=host, Origin=f"http://{host}")[0] == REFUSED


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:3000"},
    {"Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
]
OWN: list[dict[str, str]] = [
    {},
    {"Origin": "http://localhost"},
    {"Origin": "https://localhost"},
    {"Sec_Fetch_Site": "none"},
    {"Origin": "https://vision.example", "Sec_Fetch_Site": "same-origin"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_page_of_another_site_gives_no_command_whatever_its_key(headers: dict[str, str]) -> None:
    for keys in ((), ("user",)), (("user",), ()), ((), ()):
        status, error = give(client_of(*keys), key="user", **headers)
        assert (status, "other sites" in error) == (REFUSED, True)


@pytest.mark.parametrize("headers", OWN)
def test_our_own_page_and_no_page_do(without_keys: FlaskClient, headers: dict[str, str]) -> None:
    assert give(without_keys, **headers)[0] == TAKEN


@pytest.mark.parametrize(
    ("api_keys", "operator_keys", "key", "status"),
    [
        (("user",), (), "user", TAKEN),
        (("user",), (), "", NO_KEY),
        (("user",), ("boss",), "boss", TAKEN),
        (("user",), ("boss",), "user", NO_KEY),
        (("user",), ("boss",), "", NO_KEY),
        ((), ("boss",), "boss", TAKEN),
        ((), ("boss",), "", NO_KEY),
        ((), ("boss",), "wrong", NO_KEY),
    ],
)
def test_where_keys_are_set_they_decide_and_not_the_machine(
    api_keys: tuple[str, ...], operator_keys: tuple[str, ...], key: str, status: int
) -> None:
    client = client_of(api_keys, operator_keys)
    assert {give(client, key, address)[0] for address in ("127.0.0.1", BRIDGE)} == {status}


def test_an_operator_key_is_an_api_key_too_where_one_is_needed() -> None:
    path = "/api/v1/vision/smell"
    assert client_of((), ("boss",)).post(path).status_code == 404
    guarded = client_of(("user",), ("boss",))
    for key, status in (("boss", 404), ("user", 404), ("wrong", 401)):
        headers = {"Authorization": f"Bearer {key}"}
        assert guarded.post(path, headers=headers).status_code == status


def test_the_message_says_which_key_is_needed() -> None:
    assert "operator key" in give(client_of(("user",), ("boss",)), "user")[1]
