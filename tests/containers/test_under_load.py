"""Services are scaled, killed and restarted under load: no request fails."""

import pytest

from tests.containers.project import Project, worker_names
from tests.stack import wait_for

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]
BLIP = "caption/blip"


def test_three_replicas_share_the_load(project: Project, base: str, red_circle: bytes) -> None:
    project.up("--no-recreate", "--scale", "worker-captions=3")
    before = {row["worker"]: row["images"] for row in project.wait_workers("blip", 3)}
    with project.load(base, BLIP, red_circle, clients=12) as load:
        load.more(150)
    assert load.got == {"200": load.answered}

    def done() -> dict[str, int]:
        """Images by worker; heartbeats tell them, which are a second old."""
        rows = project.workers("blip")
        return {row["worker"]: row["images"] - before[row["worker"]] for row in rows}

    wait_for("the counts", lambda: sum(done().values()) >= load.answered)
    assert min(done().values()) > load.answered / 10, done()


def test_killing_a_replica_fails_no_request_and_it_is_restarted(
    project: Project, base: str, red_circle: bytes
) -> None:
    project.up("--no-recreate", "--scale", "worker-captions=2")
    started = {row["worker"]: row["started_at"] for row in project.wait_workers("blip", 2)}
    with project.load(base, BLIP, red_circle) as load:
        project.signal("worker-captions", "KILL", "workers")

        def restarted() -> bool:
            rows = project.workers("blip")
            return len(rows) == 2 and {r["worker"]: r["started_at"] for r in rows} != started

        wait_for("its successor", restarted)
        load.more(20)
    assert load.got == {"200": load.answered}


def test_killing_the_only_worker_fails_no_request(
    project: Project, base: str, red_circle: bytes
) -> None:
    project.up("--no-recreate", "--scale", "worker-captions=1")
    project.wait_workers("blip", 1)
    with project.load(base, BLIP, red_circle) as load:
        project.signal("worker-captions", "KILL", "workers")
        load.more(20)
    assert load.got == {"200": load.answered}


@pytest.mark.parametrize("service", ["worker-captions", "worker-labels", "worker-nsfw", "redis"])
def test_restarting_a_service_fails_no_request(
    project: Project, base: str, cat: bytes, service: str
) -> None:
    """Each request is for labels, NSFW and a caption, so it needs all of the workers."""
    with project.load(base, "", cat) as load:
        project.compose("restart", service)
        project.up("--no-recreate")
        load.more(8)
    assert load.got == {"200": load.answered}


def test_restarting_the_api_fails_nothing_but_connections(
    project: Project, base: str, red_circle: bytes
) -> None:
    """Connections fail that were refused during the restart, or that were open before it."""
    with project.load(base, BLIP, red_circle) as load:
        project.compose("restart", "api")
        project.up("--no-recreate")
    assert load.got.pop("200") > 4
    assert all(got.startswith("ConnectionError(") for got in load.got), load.got
    with project.load(project.base(), BLIP, red_circle) as load:
        load.more(20)
    assert load.got == {"200": load.answered}


def test_replacing_a_container_fails_no_request(
    project: Project, base: str, red_circle: bytes
) -> None:
    """As an upgrade does: stop, remove, create."""
    before = worker_names(project.wait_workers("blip", 1))
    with project.load(base, BLIP, red_circle) as load:
        project.up("--force-recreate", "--no-deps", "worker-captions")
        after = worker_names(project.wait_workers("blip", 1))
        load.more(8)
    assert load.got == {"200": load.answered}
    assert before.isdisjoint(after)


def test_replacing_two_apis_behind_a_proxy_fails_no_request(
    project: Project, red_circle: bytes
) -> None:
    """As an upgrade without downtime does: start new ones beside the old, then remove the old."""
    project.up("--no-recreate", "--scale", "api=2")
    project.compose("--profile", "proxy", "up", "-d", "--build", "proxy")
    proxy = project.base("proxy", 80)
    wait_for("the proxy", lambda: project.ask(proxy, BLIP, red_circle).ok)
    old = {row["ID"] for row in project.containers("api")}
    upgraded = project.changed(VISION_LOG_LEVEL="DEBUG")
    with project.load(proxy, BLIP, red_circle) as load:
        upgraded.up("--no-deps", "--no-recreate", "--scale", "api=4", "api")
        both = {row["ID"] for row in project.containers("api")}
        load.more(10)
        upgraded.up("--no-deps", "--scale", "api=2", "api")
        new = {row["ID"] for row in project.containers("api")}
        load.more(20)
    assert load.got == {"200": load.answered}
    assert len(both) == 4
    assert new == both - old
    project.compose("rm", "--stop", "--force", "api")
    project.up()


def test_a_worker_stops_cleanly(project: Project) -> None:
    project.compose("stop", "worker-nsfw")
    (row,) = project.containers("worker-nsfw")
    project.up("--no-recreate")
    assert row["ExitCode"] == 0
