"""Which servers are used, and which defaults a model has."""

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from shared.catalog import Catalog
from shared.model_spec import ModelSpec
from shared.ollama_settings import OllamaSettings
from tests.ollama_standin import OllamaStandin
from tests.stack import CATALOG
from workers.remote.client import OllamaClient
from workers.remote.config import RemoteParameters, ServerConfig, check_rows, model_defaults

HOSTS = (ServerConfig(url="http://a:11434", key="row", parallel=3), ServerConfig(url="http://b:1"))


@pytest.mark.parametrize(
    ("written", "complete"),
    [
        ("gpu", "http://gpu:11434"),
        ("gpu:80", "http://gpu:80"),
        ("gpu/", "http://gpu:11434"),
        ("gpu/ollama", "http://gpu:11434/ollama"),
        ("gpu:80/ollama/", "http://gpu:80/ollama"),
        (":1234", "http://localhost:1234"),
        ("::1", "http://[::1]:11434"),
        ("[::1]:80", "http://[::1]:80"),
        ("https://gpu.example/", "https://gpu.example"),
        ("http://[::1]:11434", "http://[::1]:11434"),
        ('"0.0.0.0:11434"', "http://0.0.0.0:11434"),
    ],
)
def test_an_address_may_be_as_short_as_ollama_accepts_it(written: str, complete: str) -> None:
    assert ServerConfig(url=written).url == complete


@pytest.mark.parametrize("written", ["ftp://gpu", "http://"])
def test_another_address_is_an_error(written: str) -> None:
    with pytest.raises(ValidationError, match="is not the address of an Ollama server"):
        ServerConfig(url=written)


def urls(parameters: RemoteParameters, **environment: object) -> list[str]:
    settings = OllamaSettings.model_validate(environment)
    return [config.url for config in parameters.servers(settings)]


def test_the_environment_overrides_the_row_and_the_row_this_machine() -> None:
    assert urls(RemoteParameters(hosts=HOSTS), host=("c", "http://a:11434")) == [
        "http://c:11434",
        "http://a:11434",
    ]
    assert urls(RemoteParameters(hosts=HOSTS)) == ["http://a:11434", "http://b:1"]
    assert urls(RemoteParameters()) == ["http://localhost:11434"]


def test_key_and_parallel_of_the_row_apply_to_addresses_from_the_environment() -> None:
    settings = OllamaSettings(host=("http://a:11434", "c"), api_key="all")
    first, second = RemoteParameters(hosts=HOSTS).servers(settings)
    assert (first.key, first.parallel) == ("row", 3)
    assert (second.key, second.parallel) == ("all", 1)


def test_a_server_that_is_named_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="twice"):
        urls(RemoteParameters(), host=("c", "http://c:11434"))
    with pytest.raises(ValueError, match="http://a:11434 is named twice"):
        RemoteParameters(hosts=(*HOSTS, ServerConfig(url="a")))


def test_a_model_has_the_defaults_of_its_own_row() -> None:
    catalog = Catalog.load(CATALOG)
    assert model_defaults(catalog, "gemma3:4b").options == {"temperature": 0.1}
    assert model_defaults(catalog, "Gemma3:4B").options == {"temperature": 0.1}
    assert model_defaults(catalog, "llava:7b").options == {}


def test_a_key_that_is_not_ascii_is_sent_as_utf_8() -> None:
    async def ask(server: OllamaStandin) -> None:
        client = OllamaClient(ServerConfig(url=server.url, key="schlüssel-5-€"))
        await client.installed_models()
        await client.close()

    with OllamaStandin(["gemma3"]) as server:
        asyncio.run(ask(server))
        (request,) = server.requests
    assert request.headers["Authorization"].encode("latin-1") == "Bearer schlüssel-5-€".encode()


@pytest.mark.parametrize(
    ("name", "parameters", "fault"),
    [
        ("ollama", {"hosts": [{"url": "ftp://gpu", "key": "secret"}]}, "hosts.0.url: 'ftp://gpu'"),
        ("gemma3", {"prompts": {"caption": ["secret"]}}, "prompts.caption"),
    ],
)
def test_wrong_parameters_are_named_with_their_row_and_not_told(
    name: str, parameters: dict[str, Any], fault: str
) -> None:
    rows = {"ollama": {}, "gemma3": {}, name: parameters}
    catalog = Catalog(
        models=tuple(ModelSpec(name=n, family="ollama", parameters=rows[n]) for n in rows)
    )
    with pytest.raises(ValueError, match=f"^the parameters of the row {name} .*{fault}") as told:
        check_rows(catalog)
    assert "secret" not in str(told.value)
