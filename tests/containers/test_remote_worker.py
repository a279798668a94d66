"""A worker on another machine serves requests, over TLS and with a password."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.project import KEY, Project, free_ports

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]
PASSWORD = "letters3and4digits"
TEST = "tests/containers/compose.test.yaml"
URL = f"rediss://:{PASSWORD}@redis:6380/0?ssl_cert_reqs=required"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a self-signed certificate for `redis`."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=redis", "-addext", "subjectAltName=DNS:redis"),
            *("-keyout", str(folder / "redis.key"), "-out", str(folder / "redis.crt")),
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    for path in (folder, folder.parent, *folder.iterdir()):
        path.chmod(0o755)  # readable by the users in the containers
    return folder


@pytest.fixture(scope="module")
def here(project: Project, certificate: Path) -> Iterator[Project]:
    """The machine with Redis and the API; `project` has built the images."""
    name, port = f"vision-here-{os.getpid()}", free_ports(2)
    here = Project(
        name,
        "compose.yaml", "compose.redis-tls.yaml", TEST,
        REDIS_PASSWORD=PASSWORD,
        REDIS_TLS_HOST="127.0.0.1",
        REDIS_TLS_PORT=str(port + 1),
        TLS_DIR=str(certificate),
        VISION_API_KEYS=KEY,
        VISION_HOST="127.0.0.1",
        VISION_MODELS="blip",
        VISION_PORT=str(port),
    )  # fmt: skip
    try:
        here.up("redis", "api")
        yield here
    finally:
        here.compose("down", "--volumes", check=False)


def remote(here: Project, certificate: Path, url: str) -> Project:
    return Project(
        f"{here.name}-remote",
        "compose.yaml", "compose.remote-worker.yaml", TEST,
        "tests/containers/compose.remote.test.yaml",
        CAPTIONS_MODEL="blip",
        OUTSIDE=f"{here.name}_outside",
        TLS_DIR=str(certificate),
        VISION_REDIS_URL=url,
    )  # fmt: skip


def test_a_remote_worker_serves(here: Project, certificate: Path, red_circle: bytes) -> None:
    there = remote(here, certificate, f"{URL}&ssl_ca_certs=/app/tls/redis.crt")
    try:
        there.up("worker-captions")
        here.wait_workers("blip", 1)
        reply = here.ask(here.base(), "caption/blip", red_circle)
        assert reply.json()["result"]["caption"]["text"] == "a red circle"
        assert {row["Service"] for row in there.containers()} == {"worker-captions"}
    finally:
        there.compose("down", "--volumes", check=False)


def test_a_certificate_of_an_unknown_authority_is_refused(here: Project, certificate: Path) -> None:
    there = remote(here, certificate, URL)
    try:
        run = ("run", "--rm", "-T", "worker-captions")
        check = (*run, "python", "-m", "workers.consumer.healthcheck")
        assert "CERTIFICATE_VERIFY_FAILED" in there.compose(*check, check=False, merge=True)
    finally:
        there.compose("down", "--volumes", check=False)
