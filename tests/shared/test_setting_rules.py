"""What settings may be beside their type, told by whatever reads the environment first."""

import pytest

from shared.settings import get_settings


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

    assert f"{entry!r} is no host name, address or CIDR network. Write it without scheme" in told


@pytest.mark.parametrize(
    "entry", ["example.com", "localhost:3000", "https://", "https://a/b", "://a"]
)
def test_what_is_no_origin_is_refused(monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    told = refusal(monkeypatch, "VISION_CORS_ORIGINS", f"https://photos.lan/,*,{entry}")

    assert "is no origin. Write it as https://example.com." in told
