import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from shared.settings import CA_VARIABLES, ROOT, Settings, get_settings


@pytest.fixture(autouse=True)
def _no_settings_of_other_tests() -> Iterator[None]:
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def test_without_an_environment_everything_has_a_default() -> None:
    settings = Settings()

    assert (settings.host, settings.port, settings.redis_url) == ("127.0.0.1", 5000, None)
    assert settings.models == ("efficientnet-lite0", "opennsfw")
    assert (settings.models_dir, settings.catalog) == (ROOT / "models", ROOT / "models.yaml")


def test_every_setting_has_a_description_for_the_documents() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("blip", ("blip",), id="one"),
        pytest.param("blip,opennsfw", ("blip", "opennsfw"), id="two"),
        pytest.param(" blip , opennsfw ,", ("blip", "opennsfw"), id="spaces-and-comma"),
        pytest.param("", (), id="empty"),
        pytest.param(" , ", (), id="nothing-but-commas"),
    ],
)
@pytest.mark.parametrize("name", ["models", "url_allow"])
def test_lists_are_separated_by_commas(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv(f"VISION_{name.upper()}", text)

    assert getattr(Settings(), name) == words


def test_values_get_the_type_of_their_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VISION_PORT", "5001")
    monkeypatch.setenv("VISION_TIMEOUT", "12.5")
    monkeypatch.setenv("VISION_MODELS_DIR", str(tmp_path))

    settings = Settings()

    assert (settings.port, settings.timeout, settings.models_dir) == (5001, 12.5, tmp_path)


def test_only_names_with_the_prefix_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "1")
    monkeypatch.setenv("TIMEOUT", "1")
    monkeypatch.setenv("VISION_NO_SUCH_SETTING", "1")

    assert (Settings().port, Settings().timeout) == (5000, 300)


def test_settings_cannot_be_changed() -> None:
    settings = Settings()

    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1  # type: ignore[misc] # that it is an error is the point


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "65536"),
        ("TIMEOUT", "0"),
        ("TIMEOUT", "600"),
        ("TIMEOUT", "nan"),
        ("TIMEOUT", "soon"),
        ("REQUEST_SLOTS", "0"),
        ("REQUEST_SLOTS", "1000000"),
        ("BODY_BUDGET_MB", "1e308"),
        ("MAX_CONNECTIONS", "1000000000"),
        ("API_PROCESSES", "0"),
        ("API_PROCESSES", "100000"),
        ("MAX_BODY_MB", "0"),
        ("MAX_BODY_MB", "1e308"),
        ("MAX_BODY_MB", "inf"),
        ("MAX_IMAGES", "0"),
        ("MAX_MEGAPIXELS", "-1"),
        ("MAX_MEGAPIXELS", "1e20"),
        ("RESTART_GRACE_S", "10000000000000000"),
        ("STOP_GRACE_S", "10000000000000000"),
        ("DECODE_PROCESSES", "100000"),
        ("FETCH_TIMEOUT_S", "0"),
        ("BATCH_TIMEOUT_S", "0"),
        ("TORCH_THREADS", "-1"),
        ("TORCH_THREADS", "100000"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_bad_value_is_refused_and_its_setting_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"VISION_{name}", value)

    with pytest.raises(ValidationError, match=rf"(?m)^{name.lower()}$"):
        Settings()


@pytest.mark.parametrize("value", [",", " ", " , ,", "\t"])
@pytest.mark.parametrize("name", ["VISION_API_KEYS", "VISION_OPERATOR_KEYS"])
def test_a_list_of_keys_without_a_key_does_not_open_the_api(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ValidationError, match="it names no key, and the API would be open"):
        Settings()


def test_no_keys_at_all_mean_an_open_api(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().api_keys == ()
    monkeypatch.setenv("VISION_API_KEYS", "")  # as compose passes a variable that is empty
    assert Settings().api_keys == ()


def test_an_empty_address_does_not_open_the_api_to_other_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VISION_HOST", "")  # as a line of .env that was not filled in

    with pytest.raises(ValidationError, match="would listen on all addresses"):
        Settings()


@pytest.mark.parametrize("entry", ["nginx", "localhost", "*", "172.18.0.0/99", "10.0.0.1:80"])
def test_what_cannot_be_a_proxys_address_is_refused(entry: str) -> None:
    with pytest.raises(ValidationError, match="is not an address or CIDR network"):
        Settings.model_validate({"trusted_proxies": f"127.0.0.1,{entry}"})


def test_a_network_of_proxies_may_be_named_by_any_of_its_addresses() -> None:
    settings = Settings.model_validate({"trusted_proxies": "172.18.0.1/16, 10.0.0.1, FD00::1/8"})

    assert settings.trusted_proxies == ("172.18.0.0/16", "10.0.0.1", "fd00::/8")


def test_each_bad_setting_is_named_as_its_variable_and_no_value_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VISION_REDIS_URL", "valkey://:secret@nas:6379/0")
    monkeypatch.setenv("VISION_TIMEOUT", "soon")

    with pytest.raises(ValueError, match=r"^VISION_\w+: ") as refused:
        get_settings()

    told = [line.partition(": ") for line in str(refused.value).splitlines()]
    assert [name for name, _, _ in told] == ["VISION_REDIS_URL", "VISION_TIMEOUT"]
    assert told[0][2].startswith("the URL of Redis must begin with redis:// or rediss://")
    assert "secret" not in str(refused.value)


def test_a_bad_setting_of_ollama_has_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OLLAMA_ENABLED", "perhaps")

    with pytest.raises(ValueError, match=r"^OLLAMA_ENABLED: Input should be a valid boolean"):
        get_settings()


def test_a_worker_says_what_is_wrong_with_a_setting_in_one_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "workers", "fake"], cwd=ROOT, capture_output=True, text=True,
        check=False, env={**os.environ, "VISION_REDIS_URL": "valkey://:secret@nas:6379/0"},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("VISION_REDIS_URL: the URL of Redis must begin with redis://")
    assert done.stderr.count("\n") == 1


def test_certificates_may_be_named_by_the_standard_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in CA_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert Settings().extra_ca_certificates == ("", "")
    monkeypatch.setenv("SSL_CERT_FILE", "c.pem")
    assert Settings().extra_ca_certificates == ("SSL_CERT_FILE", "c.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "b.pem")
    assert Settings().extra_ca_certificates == ("REQUESTS_CA_BUNDLE", "b.pem")
    monkeypatch.setenv("VISION_CA_BUNDLE", "a.pem")
    assert Settings().extra_ca_certificates == ("VISION_CA_BUNDLE", "a.pem")


@pytest.mark.parametrize("value", [pytest.param(None, id="unset"), pytest.param("", id="empty")])
def test_without_redis_the_message_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is not None:
        monkeypatch.setenv("VISION_REDIS_URL", value)

    with pytest.raises(ValueError, match=r"VISION_REDIS_URL is not set: .*`make run`"):
        _ = Settings().broker_url


def test_the_broker_is_the_configured_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISION_REDIS_URL", "redis://nas:6379/3")

    assert Settings().broker_url == "redis://nas:6379/3"


@pytest.mark.parametrize(("slots", "threads"), [(1, 2), (8, 9), (40, 45)])
def test_there_are_threads_for_new_clients_when_all_request_slots_are_taken(
    slots: int, threads: int
) -> None:
    assert Settings(request_slots=slots).threads == threads


def test_the_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = get_settings()
    monkeypatch.setenv("VISION_PORT", "5001")

    assert get_settings() is first
