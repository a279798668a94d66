"""What may be the URL of Redis: what redis-py, Celery and Flower take alike."""

import pytest
from pydantic import ValidationError

from shared.settings import Settings


@pytest.mark.parametrize(
    "url",
    ["unix:///run/redis.sock", "redis+socket:///run/redis.sock", "sentinel://h:26379", "h:6379"],
)
def test_only_what_all_libraries_understand_is_taken(url: str) -> None:
    with pytest.raises(ValidationError, match="must begin with redis:// or rediss://"):
        Settings(redis_url=url)


@pytest.mark.parametrize(
    "url",
    [
        None, "redis://h:6379/0", "redis://h", "redis://h/", "redis://", "redis://:@h:6379/15",
        "redis://[::1]:6379/12", "redis://u:a%2Fb%3Fc%23d@h", "redis://u:a:b@c@h",
        "rediss://:p@h:6380/0", "rediss://h/0?ssl_cert_reqs=required&ssl_ca_certs=tls/ca.crt",
    ],
)  # fmt: skip
def test_a_redis_on_a_port_is_taken(url: str | None) -> None:
    assert Settings(redis_url=url).redis_url == url


@pytest.mark.parametrize("character", "/?#")
@pytest.mark.parametrize("before", ["secret", "12"])
@pytest.mark.parametrize("user", ["", "user"])
def test_a_password_in_which_a_character_must_be_escaped_is_not_taken_for_a_host(
    character: str, before: str, user: str
) -> None:
    with pytest.raises(ValidationError, match=r"%2F|%3F") as refused:
        Settings(redis_url=f"redis://{user}:{before}{character}x7y@nas:6379/0")
    assert "x7y" not in str(refused.value)
    assert before not in str(refused.value)


@pytest.mark.parametrize("host", ["nas:port", "nas:99999", "[::1"])
def test_a_host_that_cannot_be_read_is_refused_without_the_password(host: str) -> None:
    with pytest.raises(ValidationError, match="cannot be read") as refused:
        Settings(redis_url=f"redis://:x7y@{host}/0")
    assert "x7y" not in str(refused.value)


@pytest.mark.parametrize("path", ["abc", "-1", "0/1", "0/", "/0", "1_0", "0 ", "\u0663"])
def test_a_database_must_be_a_number(path: str) -> None:
    with pytest.raises(ValidationError, match="number of a database"):
        Settings(redis_url=f"redis://nas:6379/{path}")


@pytest.mark.parametrize("option", ["db=3", "db=", "protocol=3", "ssl_cert_reqs=none"])
def test_there_are_no_options_without_tls(option: str) -> None:
    with pytest.raises(ValidationError, match="takes no options"):
        Settings(redis_url=f"redis://nas/0?{option}")


@pytest.mark.parametrize("option", ["db=3", "socket_timeout=3", "unknown=1"])
def test_options_that_only_one_library_understands_are_refused(option: str) -> None:
    with pytest.raises(ValidationError, match="only options that begin with ssl_"):
        Settings(redis_url=f"rediss://nas/0?{option}")
