"""Images, compose files, Kubernetes manifests: valid, in step with settings and catalogue."""

import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from shared.catalog import Catalog
from shared.settings import ROOT, OllamaSettings, Settings

MANIFESTS = ROOT / "deploy" / "kubernetes"
CLUSTER_FILES = sorted(MANIFESTS.glob("*.yaml"))
SET_ELSEWHERE = {"MODELS_DIR", "CATALOG", "HOST", "PORT", "FLOWER_PORT"}
"""Fixed in the images, or used to publish a port."""
OVERLAYS = sorted(path for path in ROOT.glob("compose.*.yaml"))


def documents(path: Path) -> list[dict[str, Any]]:
    return [doc for doc in yaml.safe_load_all(path.read_text()) if doc]


def kinds(kind: str) -> list[dict[str, Any]]:
    return [doc for path in CLUSTER_FILES for doc in documents(path) if doc["kind"] == kind]


def triggers() -> list[dict[str, Any]]:
    return [trigger for doc in kinds("ScaledObject") for trigger in doc["spec"]["triggers"]]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    services: dict[str, Any] = documents(ROOT / "compose.yaml")[0]["services"]
    return services


def workers(services: dict[str, Any]) -> dict[str, Any]:
    return {name: row for name, row in services.items() if name.startswith("worker-")}


@pytest.mark.parametrize("path", CLUSTER_FILES, ids=lambda path: path.name)
def test_manifests_fit_their_schemas(path: Path) -> None:
    keda = yaml.safe_load((ROOT / "tests" / "keda-schema.yaml").read_text())
    for doc in documents(path):
        if doc["apiVersion"].startswith("keda.sh/"):
            jsonschema.validate(doc, keda[doc["kind"]])
        elif doc["kind"] != "Kustomization":
            kubernetes_validate.validate(doc, "1.37", strict=True)


def test_all_manifests_are_applied() -> None:
    (kustomization,) = kinds("Kustomization")
    assert sorted(kustomization["resources"]) == sorted(
        path.name for path in CLUSTER_FILES if path.name != "kustomization.yaml"
    )


def test_keda_reads_the_password_from_the_secret_that_is_made() -> None:
    """Kustomize would put a hash behind its name, and KEDA's kinds are not rewritten."""
    (kustomization,) = kinds("Kustomization")
    assert kustomization["generatorOptions"]["disableNameSuffixHash"] is True
    (secret,) = kustomization["secretGenerator"]
    (authentication,) = kinds("TriggerAuthentication")
    (reference,) = authentication["spec"]["secretTargetRef"]
    assert reference == {"parameter": "password", "name": secret["name"], "key": "REDIS_PASSWORD"}
    used = {trigger["authenticationRef"]["name"] for trigger in triggers()}
    assert used == {authentication["metadata"]["name"]}


def test_each_worker_is_scaled_by_its_own_queue() -> None:
    catalog = Catalog.load(ROOT / "models.yaml")
    scaled = {doc["spec"]["scaleTargetRef"]["name"]: doc["spec"] for doc in kinds("ScaledObject")}
    deployed = {doc["metadata"]["name"]: doc for doc in kinds("Deployment")}
    assert set(scaled) == {name for name in deployed if name.startswith("worker-")}
    for name, spec in scaled.items():
        (container,) = deployed[name]["spec"]["template"]["spec"]["containers"]
        model = next(e["value"] for e in container["env"] if e["name"] == "VISION_MODELS")
        assert spec["triggers"][0]["metadata"]["listName"] == catalog.get(model).queue


def test_each_setting_reaches_the_containers_it_is_for(services: dict[str, Any]) -> None:
    known = {f"VISION_{name.upper()}" for name in Settings.model_fields}
    known |= {f"OLLAMA_{name.upper()}" for name in OllamaSettings.model_fields}
    fixed = {f"VISION_{name}" for name in SET_ELSEWHERE}
    api = set(services["api"]["environment"])
    worker = set(services["worker-ollama"]["environment"])
    assert api | worker == known - fixed


def test_workers_differ_in_nothing_but_model_profile_and_size(services: dict[str, Any]) -> None:
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


def test_who_may_write_where(services: dict[str, Any]) -> None:
    for name, row in services.items():
        assert row["read_only"] is True, name
        assert row["cap_drop"] == ["ALL"], name
        bound = [v["source"] for v in row.get("volumes", ()) if isinstance(v, dict)]
        assert bound == (["./models"] if name.startswith("worker-") else []), name
    assert [name for name, row in services.items() if "ports" in row] == ["api", "flower"]
