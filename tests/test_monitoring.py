"""The dashboard, alerts and scrape configuration name what our metrics have, and nothing else."""

import json
import re
from typing import Any

import pytest
import yaml

from api import create_app
from shared.redis.ollama import OllamaHost
from shared.redis.presence import EngineStatus, Presence
from shared.settings import ROOT, Settings
from shared.tasks.registry import task_names
from shared.vocabulary import WorkerState
from tests.scrape import names
from workers.consumer.metrics import WorkerMetrics
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
    "status": None,
    "state": set(WorkerState),
    "reason": set(RestartReason),
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
    """The names of metrics in PromQL: what is left without strings, labels, ranges, functions."""
    bare = GROUPING.sub(" ", STRING.sub("", expression))
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", bare)
    return {name for name in METRIC.findall(bare) if name not in WORDS}


@pytest.fixture(scope="module")
def ours() -> set[str]:
    """All names that an API and a worker tell, as they tell them."""
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
def test_each_metric_that_is_named_is_told(where: str, expression: str, ours: set[str]) -> None:
    named = metrics_in(expression)
    assert named
    assert named - {"up"} <= ours


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS)
def test_each_label_and_value_that_is_named_can_occur(where: str, expression: str) -> None:
    for label in re.findall(r"\w+", " ".join(GROUPING.findall(expression))):
        assert label in OUR_LABELS
    for label, value in MATCHER.findall(expression):
        known = OUR_LABELS[label]
        assert known is None or set(value.split("|")) <= known


def test_each_metric_that_is_told_is_on_the_dashboard(ours: set[str]) -> None:
    shown = set().union(*(metrics_in(target["expr"]) for target in targets()))
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in ours}
    assert families <= {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}


def test_the_jobs_that_the_alerts_watch_are_scraped() -> None:
    loaded = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    assert {job["job_name"] for job in loaded["scrape_configs"]} == OUR_LABELS["job"]
    for file in loaded["rule_files"]:
        assert (PROMETHEUS / file).is_file()


def test_no_alert_waits_for_a_target_that_is_down() -> None:
    """Discovery by DNS drops a target with its container: `up` is absent then, not 0."""
    up = [expression for _, expression in EXPRESSIONS if "up" in metrics_in(expression)]
    assert up
    assert [expression for expression in up if not expression.startswith("absent(")] == []


def test_the_api_tells_of_a_model_whose_workers_are_gone(ours: set[str]) -> None:
    """Asked without Redis and workers, it still has a line for each model that it should have."""
    (expression,) = (rule["expr"] for rule in groups("alerts.yml") if "Unserved" in rule["alert"])
    assert metrics_in(expression) == {"vision_workers_up"} <= ours


def test_the_rule_of_an_alert_says_how_bad_it_is_and_what_it_means() -> None:
    for rule in groups("alerts.yml"):
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
