"""Dockerfiles, compose files and Kubernetes manifests: valid, and consistent with the code."""

import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from shared.catalog import Catalog
from shared.ollama_settings import OllamaSettings
from shared.settings import ROOT, Settings
from shared.vocabulary import Priority

MANIFESTS = ROOT / "deploy" / "kubernetes"
CLUSTER_FILES = sorted(MANIFESTS.glob("*.yaml"))
SET_ELSEWHERE = {"MODELS_DIR", "CATALOG", "HOST", "PORT", "FLOWER_PORT"}
"""Settings that the images fix, or that only publish a port."""
OF_THE_HUB = {"HF_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT", "HF_HUB_OFFLINE"} | {
    "HTTPS_PROXY",
    "NO_PROXY",
}
"""Variables of the library that fetches weights."""
OVERLAYS = sorted(path for path in ROOT.glob("compose.*.yaml"))


def documents(path: Path) -> list[dict[str, Any]]:
    return [doc for doc in yaml.safe_load_all(path.read_text()) if doc]


def kinds(kind: str) -> list[dict[str, Any]]:
    return [doc for path in CLUSTER_FILES for doc in documents(path) if doc["kind"] == kind]


def triggers() -> list[dict[str, Any]]:
    return [trigger for doc in kinds("ScaledObject") for trigger in doc["spec"]["triggers"]]


def containers() -> dict[str, dict[str, Any]]:
    """Return the only container of each Deployment."""
    found = {}
    for doc in kinds("Deployment"):
        (found[doc["metadata"]["name"]],) = doc["spec"]["template"]["spec"]["containers"]
    return found


def variables(container: dict[str, Any]) -> dict[str, str]:
    return {row["name"]: row.get("value", "") for row in container["env"]}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    services: dict[str, Any] = documents(ROOT / "compose.yaml")[0]["services"]
    return services


def workers(services: dict[str, Any]) -> dict[str, Any]:
    return {name: row for name, row in services.items() if name.startswith("worker-")}


@pytest.mark.parametrize("path", CLUSTER_FILES, ids=lambda path: path.name)
def test_manifests_match_their_schemas(path: Path) -> None:
    keda = yaml.safe_load((ROOT / "tests" / "keda-schema.yaml").read_text())
    for doc in documents(path):
        if doc["apiVersion"].startswith("keda.sh/"):
            jsonschema.validate(doc, keda[doc["kind"]])
        elif doc["kind"] != "Kustomization":
            kubernetes_validate.validate(doc, "1.37", strict=True)


def test_all_manifests_are_listed_in_the_kustomization() -> None:
    """Ollama's worker is commented out: not everybody has an Ollama server."""
    text = (MANIFESTS / "kustomization.yaml").read_text()
    named = re.findall(r"^  (?:# )?- ([\w-]+\.yaml)", text, re.MULTILINE)
    assert sorted(named) == sorted(
        path.name for path in CLUSTER_FILES if path.name != "kustomization.yaml"
    )
    (kustomization,) = kinds("Kustomization")
    assert set(named) - set(kustomization["resources"]) == {"worker-ollama.yaml"}


def test_compose_and_the_cluster_have_the_same_workers(services: dict[str, Any]) -> None:
    assert set(workers(services)) == {name for name in containers() if name.startswith("worker-")}


def test_an_api_pod_has_time_to_finish_any_request() -> None:
    (api,) = (doc for doc in kinds("Deployment") if doc["metadata"]["name"] == "api")
    container = containers()["api"]
    grace_s = int(variables(container)["VISION_STOP_GRACE_S"])
    pause_s = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert grace_s > Settings.model_fields["timeout"].default
    assert api["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > grace_s + pause_s


def test_prometheus_finds_each_pod_by_a_headless_service() -> None:
    services = {doc["metadata"]["name"]: doc["spec"] for doc in kinds("Service")}
    text = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()
    for name, port in (("api-pods", 5000), ("workers", 9100)):
        assert f"names: [{name}.vision]" in text
        assert services[name]["clusterIP"] == "None"
        (asked,) = services[name]["ports"]
        assert asked["port"] == port
        pods = [
            doc["spec"]["template"]
            for doc in kinds("Deployment")
            if services[name]["selector"].items()
            <= doc["spec"]["template"]["metadata"]["labels"].items()
        ]
        assert pods
        for pod in pods:
            (container,) = pod["spec"]["containers"]
            offered = {row["name"]: row["containerPort"] for row in container["ports"]}
            assert offered[asked["targetPort"]] == port
            if name == "workers":
                assert variables(container)["VISION_METRICS_PORT"] == str(port)


def test_keda_reads_the_password_from_the_generated_secret() -> None:
    """Its name has no hash: Kustomize would not add it to references in KEDA's kinds."""
    (kustomization,) = kinds("Kustomization")
    assert kustomization["generatorOptions"]["disableNameSuffixHash"] is True
    (secret,) = kustomization["secretGenerator"]
    (authentication,) = kinds("TriggerAuthentication")
    (reference,) = authentication["spec"]["secretTargetRef"]
    assert reference == {"parameter": "password", "name": secret["name"], "key": "REDIS_PASSWORD"}
    used = {trigger["authenticationRef"]["name"] for trigger in triggers()}
    assert used == {authentication["metadata"]["name"]}


def test_each_worker_is_scaled_by_its_own_queues() -> None:
    catalog = Catalog.load(ROOT / "models.yaml")
    scaled = {doc["spec"]["scaleTargetRef"]["name"]: doc["spec"] for doc in kinds("ScaledObject")}
    deployed = containers()
    workers = {name for name in deployed if name.startswith("worker-")}
    assert set(scaled) == workers - {"worker-ollama"}
    for name, spec in scaled.items():
        model = variables(deployed[name])["VISION_MODELS"]
        lists = [trigger["metadata"]["listName"] for trigger in spec["triggers"]]
        assert lists == [catalog.get(model).queue_of(priority) for priority in Priority]


def test_each_setting_reaches_the_containers_it_is_for(services: dict[str, Any]) -> None:
    known = {f"VISION_{name.upper()}" for name in Settings.model_fields}
    known |= {f"OLLAMA_{name.upper()}" for name in OllamaSettings.model_fields}
    fixed = {f"VISION_{name}" for name in SET_ELSEWHERE}
    api = set(services["api"]["environment"])
    worker = set(services["worker-ollama"]["environment"])
    traces = {name for name in api if name.startswith("OTEL_")}
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in traces
    assert traces <= worker
    assert (api | worker) - traces - OF_THE_HUB == known - fixed
    assert worker - api >= OF_THE_HUB


def test_the_token_of_the_hub_is_a_secret_that_need_not_be_there(services: dict[str, Any]) -> None:
    (name, secret), *others = documents(ROOT / "compose.yaml")[0]["secrets"].items()
    for row in workers(services).values():
        assert row["secrets"] == [name]
        assert row["environment"]["HF_TOKEN_PATH"] == f"/run/secrets/{name}"
    assert secret == {"file": "${HF_TOKEN_FILE:-/dev/null}"}
    assert not others


def test_workers_differ_only_in_model_profile_and_size(services: dict[str, Any]) -> None:
    own = {"environment", "profiles", "deploy", "command", "extra_hosts"}
    rows = [
        {key: value for key, value in row.items() if key not in own}
        for row in workers(services).values()
    ]
    assert all(row == rows[0] for row in rows)


def test_the_catalogue_has_each_model_that_is_served(services: dict[str, Any]) -> None:
    catalog = Catalog.load(ROOT / "models.yaml")
    served = set()
    for row in workers(services).values():
        model = row["environment"]["VISION_MODELS"]
        served.add(re.sub(r"\$\{\w+:-(.+)\}", r"\1", model))
    assert {catalog.get(name).name for name in served} == served
    (default,) = re.findall(r":-(.+)\}", services["api"]["environment"]["VISION_MODELS"])
    always = [row for row in workers(services).values() if "profiles" not in row]
    assert len(default.split(",")) == len(always)
    assert set(default.split(",")) <= served


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: path.name)
def test_overlays_name_services_that_exist(path: Path, services: dict[str, Any]) -> None:
    assert set(documents(path)[0]["services"]) <= set(services)


def test_only_workers_can_write_and_only_to_the_folder_of_weights(services: dict[str, Any]) -> None:
    for name, row in services.items():
        assert row["read_only"] is True, name
        assert row["cap_drop"] == ["ALL"], name
        bound = [v["source"] for v in row.get("volumes", ()) if isinstance(v, dict)]
        assert bound == (["./models"] if name.startswith("worker-") else []), name


def test_only_the_api_is_published_and_flower_on_loopback(services: dict[str, Any]) -> None:
    published = {name: row["ports"] for name, row in services.items() if "ports" in row}
    assert published == {
        "api": ["${VISION_HOST:-0.0.0.0}:${VISION_PORT:-5000}:5000"],
        "flower": ["127.0.0.1:${VISION_FLOWER_PORT:-5555}:5555"],
    }


def test_each_container_is_restarted_and_limited_in_memory_and_logs(
    services: dict[str, Any],
) -> None:
    for name, row in services.items():
        assert row["restart"] == "unless-stopped", name
        assert row["logging"]["driver"] == "json-file", name
        assert set(row["logging"]["options"]) == {"max-size", "max-file"}, name
        assert row["deploy"]["resources"]["limits"]["memory"], name
        assert row["security_opt"] == ["no-new-privileges:true"], name


def test_a_container_may_take_as_long_to_stop_as_a_request(services: dict[str, Any]) -> None:
    """Its own settings make it stop earlier; Docker must not kill it during a request."""
    longest_s = 600  # VISION_TIMEOUT is shorter
    graces = {name: row.get("stop_grace_period", "10s") for name, row in services.items()}
    for name, grace in graces.items():
        minutes, seconds = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", grace).groups("0")  # type: ignore[union-attr]
        if name == "api" or name.startswith("worker-"):
            assert int(minutes) * 60 + int(seconds) >= longest_s, name


@pytest.mark.parametrize("image", ["api", "worker"])
def test_the_first_process_of_an_image_is_an_init(image: str) -> None:
    text = (ROOT / f"Dockerfile.{image}").read_text()
    assert "install -y --no-install-recommends tini" in text
    assert 'ENTRYPOINT ["tini", "--"]' in text


def test_torch_is_pinned_where_the_build_looks_for_it() -> None:
    """With TORCH_INDEX, the build installs only this line from the other index."""
    (pattern,) = re.findall(r"grep '([^']+)'", (ROOT / "Dockerfile.worker").read_text())
    lines = (ROOT / "workers" / "requirements.txt").read_text().splitlines()
    assert len([line for line in lines if re.search(pattern, line)]) == 1


def test_the_build_context_has_all_that_the_images_copy() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    for image in ("api", "worker"):
        text = (ROOT / f"Dockerfile.{image}").read_text()
        for sources in re.findall(r"^COPY (?!--)(.+) \S+$", text, re.MULTILINE):
            for source in sources.split():
                assert source.partition("/")[0] in sent, source
