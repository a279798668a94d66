"""Which servers are asked, and with which defaults."""

import pytest
from pydantic import ValidationError

from shared.catalog import Catalog
from shared.settings import OllamaSettings
from tests.stack import CATALOG
from workers.remote.config import HostRow, RemoteParameters, defaults_of

ROWS = (HostRow(url="http://a:11434", key="row", parallel=3), HostRow(url="http://b:1"))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("gpu", "http://gpu:11434"),
        ("gpu:80", "http://gpu:80"),
        ("https://gpu.example/", "https://gpu.example"),
        ("http://[::1]:11434", "http://[::1]:11434"),
    ],
)
def test_an_address_may_be_as_short_as_ollama_takes_it(written: str, meant: str) -> None:
    assert HostRow(url=written).url == meant


@pytest.mark.parametrize("written", ["ftp://gpu", "http://"])
def test_another_address_is_an_error(written: str) -> None:
    with pytest.raises(ValidationError, match="no address of an Ollama server"):
        HostRow(url=written)


def urls(parameters: RemoteParameters, **environment: object) -> list[str]:
    settings = OllamaSettings.model_validate(environment)
    return [row.url for row in parameters.servers(settings)]


def test_the_environment_wins_over_the_row_and_the_row_over_this_machine() -> None:
    assert urls(RemoteParameters(hosts=ROWS), host=("c", "http://a:11434")) == [
        "http://c:11434",
        "http://a:11434",
    ]
    assert urls(RemoteParameters(hosts=ROWS)) == ["http://a:11434", "http://b:1"]
    assert urls(RemoteParameters()) == ["http://localhost:11434"]


def test_keys_and_places_of_the_row_hold_for_addresses_of_the_environment() -> None:
    settings = OllamaSettings(host=("http://a:11434", "c"), api_key="all")
    first, second = RemoteParameters(hosts=ROWS).servers(settings)
    assert (first.key, first.parallel) == ("row", 3)
    assert (second.key, second.parallel) == ("all", 1)


def test_a_server_that_is_named_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="twice"):
        urls(RemoteParameters(), host=("c", "http://c:11434"))


def test_a_models_own_row_says_how_it_is_asked() -> None:
    catalog = Catalog.load(CATALOG)
    assert defaults_of(catalog, "gemma3:4b").options == {"temperature": 0.1}
    assert defaults_of(catalog, "llava:7b").options == {}
