"""What documents tell a reader to type exists: services, overlays, modules, verbs, addresses."""

import re
from importlib.util import find_spec

import pytest
import yaml
from typer.main import get_command

from api import create_app
from shared.settings import ROOT, Settings
from tests.test_docs import DOCUMENTS, all_code
from vision.app import app as vision

EVERYTHING = "\n".join(
    all_code(path.read_text(encoding="utf-8"))
    for path in DOCUMENTS
    if path.name != "CHANGELOG.md"  # which tells of the past
)


def found(pattern: str, text: str) -> set[str]:
    return set(re.findall(pattern, text, re.MULTILINE))


@pytest.fixture(scope="module")
def services() -> set[str]:
    names: set[str] = set()
    for path in ROOT.glob("compose*.yaml"):
        names |= set(yaml.safe_load(path.read_text(encoding="utf-8"))["services"])
    return names


def test_services_of_compose_exist(services: set[str]) -> None:
    commands = found(r"docker compose .*", EVERYTHING)
    named = {word for command in commands for word in found(r"\bworker-[\w-]+\b", command)}
    named |= found(r"docker compose (?:exec|logs -f|build) ([a-z][\w-]*)", EVERYTHING)
    named |= found(r"--scale ([a-z][\w-]*)=", EVERYTHING)
    assert {"worker-captions", "api"} <= named <= services


def test_overlays_of_compose_exist() -> None:
    named = found(r"-f (compose[\w.-]*\.yaml)", EVERYTHING)
    assert "compose.nvidia.yaml" in named
    assert {name for name in named if not (ROOT / name).is_file()} == set()


def test_modules_exist() -> None:
    named = found(r"python -m ([a-z][\w.]*)", EVERYTHING)
    assert "workers" in named
    assert {name for name in named if find_spec(name) is None} == set()


def test_programs_of_the_environment_exist() -> None:
    named = found(r"\.venv/bin/([\w-]+)", EVERYTHING)
    known = {"python", "pip", "uv", "vision"}
    assert known <= named <= known


def test_verbs_of_the_command_line_exist() -> None:
    command = get_command(vision)
    verbs = set(getattr(command, "commands", {}))
    named = found(r"^(?:\.venv/bin/)?vision ([a-z]+)", EVERYTHING)
    named |= found(r"(?:\.venv/bin/|exec api )vision ([a-z]+)", EVERYTHING)
    assert "models" in named
    assert named <= verbs


def test_addresses_lead_to_routes_or_are_the_base_of_some() -> None:
    url_map = create_app(Settings(redis_url="redis://127.0.0.1:1/0")).url_map
    routes = url_map.bind("localhost")
    addresses = found(r"http://[\w.:-]+:5000(/[\w./-]*)", EVERYTHING)
    assert "/api/v1/vision/labels" in addresses
    for address in addresses:
        is_base = any(rule.rule.startswith(f"{address}/") for rule in url_map.iter_rules())
        assert is_base or any(routes.test(address, way) for way in ("GET", "POST", "PUT")), address
