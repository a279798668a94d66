"""The effect of variables on compose.yaml."""

import json
from typing import Any

import pytest

from tests.containers.project import Project

pytestmark = [pytest.mark.containers, pytest.mark.usefixtures("engine")]


def services(**variables: str) -> dict[str, Any]:
    project = Project("vision-config", "compose.yaml", **variables)
    found: dict[str, Any] = json.loads(project.compose("config", "--format", "json"))["services"]
    return found


def published(service: dict[str, Any]) -> tuple[str, str]:
    (port,) = service["ports"]
    return port["host_ip"], port["published"]


def test_without_variables_the_default_set_runs_and_only_the_api_is_published() -> None:
    default = services()
    assert set(default) == {"api", "redis", "worker-captions", "worker-labels", "worker-nsfw"}
    assert [name for name, row in default.items() if row.get("ports")] == ["api"]
    assert published(default["api"]) == ("0.0.0.0", "5000")


def test_flower_is_published_on_loopback_only() -> None:
    assert published(services(COMPOSE_PROFILES="flower")["flower"]) == ("127.0.0.1", "5555")


def test_several_apis_are_published_on_a_range_of_ports() -> None:
    api = services(VISION_HOST="127.0.0.1", VISION_PORT="5000-5001")["api"]
    assert published(api) == ("127.0.0.1", "5000-5001")


@pytest.mark.parametrize("count", [0, 2])
def test_each_model_has_a_variable_for_its_replicas(count: int) -> None:
    found = services(
        COMPOSE_PROFILES="*",
        **{f"{kind}_REPLICAS": str(count) for kind in (
            "LABELS", "NSFW", "CAPTIONS", "KOSMOS_2", "VIT_GPT2", "OLLAMA",
        )},
    )  # fmt: skip
    replicas = {n: row["deploy"]["replicas"] for n, row in found.items() if n.startswith("worker-")}
    assert replicas == dict.fromkeys(replicas, count)
    assert len(replicas) == 6


@pytest.mark.parametrize(
    ("variables", "host"),
    [
        ({}, "http://host.docker.internal:11434"),
        ({"OLLAMA_HOST": "http://gpu-1:11434"}, "http://gpu-1:11434"),
        ({"OLLAMA_HOST": ""}, ""),  # the servers of the row in models.yaml
    ],
)
def test_ollama_is_on_the_host_or_on_given_servers_or_on_those_of_models_yaml(
    variables: dict[str, str], host: str
) -> None:
    found = services(COMPOSE_PROFILES="ollama", **variables)
    assert found["worker-ollama"]["environment"]["OLLAMA_HOST"] == host


def test_api_and_workers_get_the_settings_for_traces() -> None:
    collector = "http://collector:4318"
    found = services(OTEL="true", OTEL_EXPORTER_OTLP_ENDPOINT=collector)
    for name in ("api", "worker-captions"):
        assert found[name]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"] == collector
        assert found[name]["build"]["args"]["OTEL"] == "true"
