"""`docker compose up -d`: which services run, as which user, their answers, and their isolation."""

import pytest
import requests

from tests.containers.project import KEY, SERVICES, UNREACHABLE, Project
from tests.stack import API, wait_for

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]
OUR_SERVICES = tuple(service for service in SERVICES if service != "redis")
API_IMAGE_MB = 135
"""Size that the API's image adds to its base image of 125 MB."""
CONNECT = "import socket; socket.create_connection(({host!r}, 6379), 3)"


def test_all_services_of_the_default_set_are_healthy(project: Project) -> None:
    states = {row["Service"]: row["Health"] for row in project.containers(*SERVICES)}
    assert states == dict.fromkeys(SERVICES, "healthy")


def test_a_photo_gets_labels_and_an_nsfw_score(project: Project, base: str, cat: bytes) -> None:
    labels = project.ask(base, "labels", cat).json()["result"]["labels"]
    assert labels[0]["name"] == "cat"
    (nsfw,) = project.ask(base, "nsfw", cat).json()["result"]["nsfw"]
    assert nsfw["status"] == "safe"


def test_a_picture_gets_its_caption(project: Project, base: str, red_circle: bytes) -> None:
    caption = project.ask(base, "caption/blip", red_circle).json()["result"]["caption"]
    assert caption["text"] == "a red circle"


def test_without_a_key_nothing_is_answered(base: str) -> None:
    assert requests.post(f"{base}{API}/labels", json={"images": []}, timeout=10).status_code == 401


@pytest.mark.parametrize("service", OUR_SERVICES)
def test_containers_do_not_run_as_root_and_have_a_read_only_root_file_system(
    project: Project, service: str
) -> None:
    assert project.sh(service, "id -u").strip() == "1000"
    assert (
        project.sh(service, "touch /app/x /opt/x 2>/dev/null; ls /app/x /opt/x", check=False) == ""
    )
    assert project.sh(service, "touch /tmp/x && echo written").strip() == "written"


def test_redis_is_not_root_and_saves_nothing(project: Project) -> None:
    assert project.sh("redis", "id -un").strip() == "redis"
    config_get = "REDISCLI_AUTH=$REDIS_PASSWORD redis-cli config get '{}'"
    assert project.sh("redis", config_get.format("save")).split() == ["save"]
    assert project.sh("redis", config_get.format("appendonly")).split() == ["appendonly", "no"]
    assert project.sh("redis", config_get.format("maxmemory-policy")).split()[1] == "noeviction"
    assert project.sh("redis", "grep ' /data ' /proc/mounts").split()[0] == "tmpfs"


def test_the_image_of_the_api_is_small_and_has_no_torch(project: Project) -> None:
    kilobytes = project.sh("api", "du -sk /opt/venv /app").split()[::2]
    assert sum(map(int, kilobytes)) / 1000 < API_IMAGE_MB
    assert project.sh("api", "ls -d /opt/venv/lib/python3*/site-packages/torch", check=False) == ""


@pytest.mark.parametrize("service", ["api", "worker-labels"])
def test_the_command_line_is_in_both_images(project: Project, service: str) -> None:
    command = f"cd /tmp && VISION_API_KEY={KEY} VISION_URL=http://api:5000 vision models"
    assert "efficientnet-lite0" in project.sh(service, command)


def test_only_the_api_and_flower_are_published(project: Project) -> None:
    published = {
        row["Service"]: {port["URL"] for port in row["Publishers"] or () if port["PublishedPort"]}
        for row in project.containers(*SERVICES)
    }
    assert {name: hosts for name, hosts in published.items() if hosts} == {
        "api": {"127.0.0.1"}, "flower": {"127.0.0.1"},
    }  # fmt: skip


def test_redis_cannot_be_reached_from_the_networks_of_the_api(project: Project) -> None:
    project.compose("--profile", "stranger", "up", "-d", "--no-build", "stranger")
    address = project.sh("redis", "hostname -i").strip()
    for host in ("redis", address):
        script = f'timeout 5 python -c "{CONNECT.format(host=host)}" && echo connected'
        assert project.sh("stranger", script, check=False) == ""
    control = CONNECT.format(host="api").replace("6379", "5000")
    assert project.sh("stranger", f'python -c "{control}" && echo connected') == "connected\n"


def test_redis_requires_its_password(project: Project) -> None:
    assert "NOAUTH" in project.sh("redis", "redis-cli llen vision.blip 2>&1")


def test_an_unreachable_ollama_server_is_named(
    project: Project, base: str, red_circle: bytes
) -> None:
    # Without --wait: without a server the worker never becomes healthy.
    project.compose("up", "-d", "--no-build", "worker-ollama")
    try:

        def refusal() -> tuple[int, str] | None:
            reply = project.ask(base, "caption/unknown:1b", red_circle)
            return (reply.status_code, reply.json()["error"]) if UNREACHABLE in reply.text else None

        status, error = wait_for("the refusal that names the server", refusal, timeout_s=180)
        assert status == 503
        assert "No Ollama server can be reached." in error
        (row,) = project.containers("worker-ollama")
        assert row["State"] == "running"
    finally:
        project.compose("rm", "--stop", "--force", "worker-ollama")
