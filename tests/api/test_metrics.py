"""``/metrics`` without a stack: without Redis, without an API key, and its label values."""

import pytest
from flask.testing import FlaskClient

from api import create_app
from api.metrics import Metrics, QueueCollector
from shared.catalog import Assignment, Catalog
from shared.redis.presence import Presence
from shared.settings import ROOT, Settings
from shared.tasks import CAPTION
from tests.stack import API


def new_client() -> FlaskClient:
    settings = Settings(redis_url="redis://127.0.0.1:1/0", api_keys=("secret",))
    return create_app(settings).test_client()


@pytest.fixture
def client() -> FlaskClient:
    """A client whose application has counted nothing."""
    return new_client()


@pytest.fixture(scope="module")
def shared_client() -> FlaskClient:
    """One for tests that count nothing."""
    return new_client()


def test_without_redis_requests_are_exported_and_queues_are_left_out(client: FlaskClient) -> None:
    text = client.get("/metrics").text
    assert "vision_redis_up 0.0" in text
    assert 'vision_timeouts_total{model="kosmos-2"} 0.0' in text
    assert "vision_queue_length" not in text


def test_no_key_is_needed_and_a_request_without_one_is_counted(client: FlaskClient) -> None:
    assert client.get(f"{API}/caption").status_code == 401
    counted = 'vision_requests_total{model="none",status="401",task="none"} 1.0'
    assert counted in client.get("/metrics").text


def test_words_of_clients_never_become_label_values(client: FlaskClient) -> None:
    key = {"Authorization": "Bearer secret"}
    assert client.get(f"{API}/caption/invented-model", headers=key).status_code == 404
    assert client.get(f"{API}/invented-task", headers=key).status_code == 404
    assert client.delete(f"{API}/caption/invented-model", headers=key).status_code == 405
    text = client.get("/metrics").text
    assert "invented" not in text
    assert 'vision_requests_total{model="none",status="404",task="none"} 2.0' in text
    assert 'vision_requests_total{model="none",status="405",task="none"} 1.0' in text


def test_models_that_only_ollama_knows_share_one_label_value() -> None:
    catalog = Catalog.load(ROOT / "models.yaml", passes_on=True)
    metrics = Metrics(
        catalog, 1, QueueCollector(catalog, (), lambda _: Presence((), seen=False, queued=0))
    )
    spec = catalog.find("invented", "7b")
    metrics.count_request([Assignment(spec, (CAPTION,))], 504, 1.0)
    metrics.count_request([Assignment(spec, ())], 200, 1.0)
    metrics.count_lost_task(spec)
    text = metrics.exposition("")[0].decode()
    assert "invented" not in text
    assert 'vision_requests_total{model="ollama",status="504",task="caption"} 1.0' in text
    assert 'vision_request_seconds_count{model="ollama",task="none"} 1.0' in text
    assert 'vision_timeouts_total{model="ollama"} 1.0' in text
    assert 'vision_lost_tasks_total{model="ollama"} 1.0' in text


@pytest.mark.parametrize(
    ("listing", "path"), [("/api/tags", "/api/generate"), ("/v1/models", "/v1/responses")]
)
def test_requests_to_the_routes_of_others_are_counted_except_their_lists(
    client: FlaskClient, listing: str, path: str
) -> None:
    key = {"Authorization": "Bearer secret"}
    client.get(listing, headers=key)
    reply = client.post(path, json={"model": "invented", "input": "x"}, headers=key)
    assert reply.headers["X-Request-ID"]
    counted = f'vision_requests_total{{model="none",status="{reply.status_code}",task="none"}} 1.0'
    (line,) = [x for x in client.get("/metrics").text.splitlines() if "requests_total{" in x]
    assert line == counted


def test_polls_are_not_counted_as_vision_requests(client: FlaskClient) -> None:
    for path in ("/livez", "/readyz", f"{API}/models", "/metrics"):
        client.get(path)
    assert "vision_requests_total{" not in client.get("/metrics").text


def test_prometheus_gets_the_format_that_it_asks_for(client: FlaskClient) -> None:
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    reply = client.get("/metrics", headers={"Accept": accept})
    assert reply.content_type.startswith("application/openmetrics-text")
    assert reply.text.endswith("# EOF\n")


@pytest.mark.parametrize("kind", ["application/openmetrics-text", "text/plain"])
@pytest.mark.parametrize("version", ["abc", "1..0", "1.0.0-rc1", "99.9.9", "", "-1"])
@pytest.mark.parametrize("escaping", ["", "bogus", "allow-utf-8"])
def test_an_odd_version_of_the_format_is_no_error(
    shared_client: FlaskClient, kind: str, version: str, escaping: str
) -> None:
    accept = f"{kind};version={version};escaping={escaping}"
    reply = shared_client.get("/metrics", headers={"Accept": accept})
    assert reply.status_code == 200
    assert "vision_redis_up" in reply.text
