"""What ``make run`` looks at before it starts anything."""

import errno

import pytest

from launcher import run_stack
from launcher.errors import StartFailed
from shared.settings import Settings


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (errno.EADDRINUSE, "port 80 on 10.0.0.1 is taken, .* VISION_PORT=81 make run"),
        (errno.EACCES, "only root may use port 80, .* VISION_PORT=5080 make run"),
        (errno.EADDRNOTAVAIL, "the API cannot listen on 10.0.0.1 .* VISION_HOST must be"),
    ],
)
def test_what_keeps_the_api_from_listening_is_said_with_the_setting_to_change(
    monkeypatch: pytest.MonkeyPatch, reason: int, words: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(reason, "as the kernel says")

    monkeypatch.setattr(run_stack, "try_to_bind", refuse)

    with pytest.raises(StartFailed, match=words):
        run_stack.check(Settings(host="10.0.0.1", port=80))


@pytest.mark.parametrize("host", ["nobody.invalid", "192.0.2.7", "[::1]"])
def test_a_host_that_is_not_here_is_no_port_that_is_taken(host: str) -> None:
    with pytest.raises(StartFailed, match=r"cannot listen on .* VISION_HOST must be an"):
        run_stack.check(Settings(host=host))


@pytest.mark.parametrize("url", ["redis://:secret@nas:port/0", "redis://nas:6379/0?unknown=1"])
def test_the_url_of_redis_is_named_where_it_cannot_be_read(url: str) -> None:
    with pytest.raises(StartFailed, match="VISION_REDIS_URL cannot be read") as refused:
        run_stack.check(Settings(redis_url=url))
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("setting", "value"), [("VISION_CA_BUNDLE", "/nowhere"), ("VISION_MODELS", "nobody")]
)
def test_what_settings_name_is_looked_for_before_anything_starts(setting: str, value: str) -> None:
    settings = Settings.model_validate({setting.removeprefix("VISION_").lower(): value})

    with pytest.raises(ValueError, match=f"^{setting}: .*{value}"):
        run_stack.check(settings)
