"""Scaled, killed and restarted while clients ask without pause: no request fails."""

import pytest

from tests.containers.project import Project, worker_names
from tests.stack import wait_for

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]
BLIP = "caption/blip"


def test_three_replicas_share_the_load(project: Project, base: str, red_circle: bytes) -> None:
    project.up("--no-recreate", "--scale", "worker-blip=3")
    before = {row["worker"]: row["images"] for row in project.wait_workers("blip", 3)}
    with project.load(base, BLIP, red_circle, clients=12) as load:
        load.more(150)
    done = {row["worker"]: row["images"] - before[row["worker"]] for row in project.workers("blip")}
    assert load.got == {"200": load.answered}
    assert min(done.values()) > load.answered / 10, done


def test_a_killed_replica_costs_no_request_and_comes_back(
    project: Project, base: str, red_circle: bytes
) -> None:
    project.up("--no-recreate", "--scale", "worker-blip=2")
    started = {row["worker"]: row["started_at"] for row in project.wait_workers("blip", 2)}
    with project.load(base, BLIP, red_circle) as load:
        project.signal("worker-blip", "KILL", "workers")

        def back() -> bool | None:
            rows = project.workers("blip")
            return (
                len(rows) == 2 and {r["worker"]: r["started_at"] for r in rows} != started
            ) or None

        wait_for("its successor", back)
        load.more(20)
    assert load.got == {"200": load.answered}


def test_the_only_worker_killed_costs_no_request(
    project: Project, base: str, red_circle: bytes
) -> None:
    project.up("--no-recreate", "--scale", "worker-blip=1")
    project.wait_workers("blip", 1)
    with project.load(base, BLIP, red_circle) as load:
        project.signal("worker-blip", "KILL", "workers")
        load.more(20)
    assert load.got == {"200": load.answered}


@pytest.mark.parametrize("service", ["worker-blip", "worker-labels", "worker-nsfw", "redis"])
def test_a_service_that_is_restarted_costs_no_request(
    project: Project, base: str, cat: bytes, service: str
) -> None:
    """Each request is for labels, NSFW and a caption, so it needs all of the workers."""
    with project.load(base, "", cat) as load:
        project.compose("restart", service)
        project.up("--no-recreate")
        load.more(8)
    assert load.got == {"200": load.answered}


def test_a_replaced_container_costs_no_request(
    project: Project, base: str, red_circle: bytes
) -> None:
    """What an upgrade does: stop, remove, create."""
    before = worker_names(project.wait_workers("blip", 1))
    with project.load(base, BLIP, red_circle) as load:
        project.up("--force-recreate", "--no-deps", "worker-blip")
        after = worker_names(project.wait_workers("blip", 1))
        load.more(8)
    assert load.got == {"200": load.answered}
    assert before.isdisjoint(after)


def test_rolling_two_apis_behind_a_proxy_costs_no_request(
    project: Project, red_circle: bytes
) -> None:
    project.up("--no-recreate", "--scale", "api=2")
    project.compose("--profile", "proxy", "up", "-d", "--build", "proxy")
    proxy = project.base("proxy", 80)
    wait_for("the proxy", lambda: project.ask(proxy, BLIP, red_circle).ok or None)
    with project.load(proxy, BLIP, red_circle) as load:
        for index in (1, 2):
            started = project.started("api", index)
            project.signal("api", "TERM", "gunicorn", index)
            project.wait_restarted("api", index, started)
            load.more(10)
    assert load.got == {"200": load.answered}


def test_a_worker_stops_cleanly(project: Project) -> None:
    project.compose("stop", "worker-nsfw")
    (row,) = project.containers("worker-nsfw")
    project.up("--no-recreate")
    assert row["ExitCode"] == 0
