"""Dashboard, alerts and scrape configuration use exactly the exported metrics."""

import json
import re
from typing import Any

import pytest
import yaml

from api import create_app
from shared.messages import JobTimes
from shared.redis.ollama import OllamaHost
from shared.redis.presence import EngineStatus, Presence
from shared.settings import ROOT, Settings
from shared.tasks.registry import task_names
from shared.vocabulary import Priority, WorkerState
from tests.scrape import names
from workers.consumer.metrics import WorkerMetrics
from workers.engine.climbing import SizeCause
from workers.engine.wear import RestartReason

DEPLOY = ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
STRING = re.compile(r'"[^"]*"')
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
METRIC = re.compile(r"(?<![\w$.])([a-zA-Z_:][\w:]*)(?!\s*\(|[\w:])")
HOST = OllamaHost(url="http://a", up=True, parallel=1, tokens_per_s={"m": 1.0}, heals={"healed": 1})
WORDS = {"and", "or", "unless", "bool", "offset"}
OUR_LABELS = {
    "model": None,  # the catalogue's
    "task": set(task_names()),
    "priority": set(Priority),
    "status": None,
    "state": set(WorkerState),
    "reason": set(RestartReason),
    "phase": set(JobTimes._fields),
    "cause": set(SizeCause),
    "le": None,
    "job": {"vision-api", "vision-workers"},
    "instance": None,
    "server": None,
    "outcome": None,
}


def groups(name: str) -> list[dict[str, Any]]:
    loaded: dict[str, Any] = yaml.safe_load((PROMETHEUS / name).read_text(encoding="utf-8"))
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def targets() -> list[dict[str, Any]]:
    board = json.loads((DEPLOY / "grafana" / "vision-workers.json").read_text(encoding="utf-8"))
    return [target for panel in board["panels"] for target in panel.get("targets", ())]


EXPRESSIONS = [
    *((rule["alert"], rule["expr"]) for rule in groups("alerts.yml")),
    *((f"panel {target['legendFormat']}", target["expr"]) for target in targets()),
]


def metrics_in(expression: str) -> set[str]:
    """Return the names of metrics in a PromQL expression."""
    bare = GROUPING.sub(" ", STRING.sub("", expression))
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", bare)
    return {name for name in METRIC.findall(bare) if name not in WORDS}


@pytest.fixture(scope="module")
def exported() -> set[str]:
    """The names of all metrics that an API and a worker export."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "shared.redis.presence.Presences.of", lambda *_: Presence((), seen=True, queued=0)
        )
        text = create_app(Settings(redis_url="redis://127.0.0.1:1/0")).test_client().get("/metrics")
        found = names(text.text)
    return found | names(
        WorkerMetrics("ollama", lambda: EngineStatus(hosts=(HOST,))).exposition().decode()
    )


def test_the_names_of_metrics_are_found_in_an_expression() -> None:
    text = 'sum by (model, le) (rate(a_b{x="by_c"}[5m])) / max(d_total) > 0.5 and on (x) up == 1e3'
    assert metrics_in(text) == {"a_b", "d_total", "up"}


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS)
def test_expressions_use_exported_metrics_only(
    where: str, expression: str, exported: set[str]
) -> None:
    named = metrics_in(expression)
    assert named
    assert named - {"up"} <= exported


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS)
def test_expressions_use_labels_and_values_that_can_occur(where: str, expression: str) -> None:
    for label in re.findall(r"\w+", " ".join(GROUPING.findall(expression))):
        assert label in OUR_LABELS
    for label, value in MATCHER.findall(expression):
        known = OUR_LABELS[label]
        assert known is None or set(value.split("|")) <= known


def test_each_exported_metric_is_on_the_dashboard(exported: set[str]) -> None:
    shown = set().union(*(metrics_in(target["expr"]) for target in targets()))
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exported}
    assert families <= {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}


def test_the_jobs_that_the_alerts_watch_are_scraped() -> None:
    loaded = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    assert {job["job_name"] for job in loaded["scrape_configs"]} == OUR_LABELS["job"]
    for file in loaded["rule_files"]:
        assert (PROMETHEUS / file).is_file()


def test_alerts_use_up_only_with_absent() -> None:
    """DNS discovery drops the target of a stopped container: `up` is absent then, not 0."""
    up = [expression for _, expression in EXPRESSIONS if "up" in metrics_in(expression)]
    assert up
    assert [expression for expression in up if not expression.startswith("absent(")] == []


def test_the_api_exports_models_without_workers(exported: set[str]) -> None:
    """Without Redis and workers, too, there is a sample for each configured model."""
    (expression,) = (rule["expr"] for rule in groups("alerts.yml") if "Unserved" in rule["alert"])
    assert metrics_in(expression) == {"vision_workers_up"} <= exported


def test_each_alert_has_a_severity_and_a_summary() -> None:
    for rule in groups("alerts.yml"):
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
