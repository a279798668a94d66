"""What settings may be beside their type, told by whatever reads the environment first."""

import pytest

from shared.ollama_settings import OllamaSettings
from shared.settings import Settings, get_settings


def refusal(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> str:
    """Return what is said of a wrong setting."""
    monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    try:
        with pytest.raises(ValueError, match=rf"^{name}: ") as refused:
            get_settings()
    finally:
        get_settings.cache_clear()
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("entry", ["http://nas/", "nas:80", "*", "10.0.0.0/99", "-1"])
def test_what_can_be_no_host_of_an_image_is_refused(
    monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    told = refusal(monkeypatch, "VISION_URL_ALLOW", f"192.168.1.0/24,nas.lan,{entry}")

    assert f"{entry!r} is not a host name, address or CIDR network. Write it without scheme" in told


@pytest.mark.parametrize(
    "entry", ["example.com", "localhost:3000", "https://", "https://a/b", "://a"]
)
def test_what_is_no_origin_is_refused(monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    told = refusal(monkeypatch, "VISION_CORS_ORIGINS", f"https://photos.lan/,*,{entry}")

    assert "is not an origin. Write it as https://example.com." in told


@pytest.mark.parametrize(
    "address", ["http://", "ftp://nas", "nas:abc", "nas:99999", "http://a b", "http://[::1"]
)
def test_what_can_be_no_server_of_ollama_is_refused(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    told = refusal(monkeypatch, "OLLAMA_HOST", f"gpu,{address}")

    assert f"{address!r} is not the address of an Ollama server. Write it as http://" in told


def test_a_server_of_ollama_that_is_named_twice_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = refusal(monkeypatch, "OLLAMA_HOST", "http://u:secret@nas,http://u:secret@nas/")

    assert told == "OLLAMA_HOST: nas is named twice."


@pytest.mark.parametrize("url", ["word", "ftp://nas", "http://", "nas:8080/restart"])
def test_what_cannot_get_a_post_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    told = refusal(monkeypatch, "OLLAMA_RESTART_URL", url)

    assert "a POST cannot be sent to it. Write it as http://host:8080/restart." in told


@pytest.mark.parametrize("name", ["OLLAMA_API_KEY", "VISION_API_KEYS", "VISION_OPERATOR_KEYS"])
def test_a_key_that_no_request_could_carry_is_refused_and_not_told(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    told = refusal(monkeypatch, name, "secret\nsecret")  # as of a file with a key in each line

    assert told.startswith(f"{name}: a key has a line break")
    assert "secret" not in told


def test_the_line_break_at_the_end_of_a_key_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "secret\n")  # as of a file with the key

    assert OllamaSettings().api_key == "secret"


@pytest.mark.parametrize("device", ["", "gpu", "cuda:", "cuda:-1", "CPU", "0"])
def test_a_word_that_can_be_no_device_is_refused(
    monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    told = refusal(monkeypatch, "VISION_DEVICE", device)

    assert f"{device!r} is not a device. Write auto, cpu, cuda, cuda:1, xpu or mps." in told


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1", "xpu:0", "mps"])
def test_devices_are_taken(device: str) -> None:
    assert Settings(device=device).device == device


@pytest.mark.parametrize("name", ["VISION_MODELS_DIR", "VISION_CATALOG"])
def test_a_path_that_is_empty_is_not_the_folder_in_which_a_process_is(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert "it is set, but empty. Write a path, or unset it." in refusal(monkeypatch, name, "")


@pytest.mark.parametrize("host", ["a..b", "ü" * 70])
def test_what_can_be_no_name_of_a_host_is_refused(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    assert "this cannot be a host." in refusal(monkeypatch, "VISION_HOST", host)
