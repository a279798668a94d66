"""``/metrics`` without a stack: what it tells when Redis is away, whom it answers, which labels."""

import pytest
from flask.testing import FlaskClient

from api import create_app
from shared.settings import Settings
from tests.stack import API


@pytest.fixture
def client() -> FlaskClient:
    settings = Settings(redis_url="redis://127.0.0.1:1/0", api_keys=("secret",))
    return create_app(settings).test_client()


def test_without_redis_the_requests_are_told_and_the_queues_left_out(client: FlaskClient) -> None:
    text = client.get("/metrics").text
    assert "vision_redis_up 0.0" in text
    assert 'vision_timeouts_total{model="kosmos-2"} 0.0' in text
    assert "vision_queue_length" not in text


def test_no_key_is_needed_and_a_request_without_one_is_counted(client: FlaskClient) -> None:
    assert client.get(f"{API}/caption").status_code == 401
    counted = 'vision_requests_total{model="none",status="401",task="none"} 1.0'
    assert counted in client.get("/metrics").text


def test_words_of_clients_are_no_labels(client: FlaskClient) -> None:
    key = {"Authorization": "Bearer secret"}
    assert client.get(f"{API}/caption/invented-model", headers=key).status_code == 404
    assert client.get(f"{API}/invented-task", headers=key).status_code == 404
    assert client.delete(f"{API}/caption/invented-model", headers=key).status_code == 405
    text = client.get("/metrics").text
    assert "invented" not in text
    assert 'vision_requests_total{model="none",status="404",task="none"} 2.0' in text
    assert 'vision_requests_total{model="none",status="405",task="none"} 1.0' in text


def test_polls_are_not_counted_as_vision_requests(client: FlaskClient) -> None:
    for path in ("/livez", "/readyz", f"{API}/models", "/metrics"):
        client.get(path)
    assert "vision_requests_total{" not in client.get("/metrics").text


def test_prometheus_gets_the_format_that_it_asks_for(client: FlaskClient) -> None:
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    reply = client.get("/metrics", headers={"Accept": accept})
    assert reply.content_type.startswith("application/openmetrics-text")
    assert reply.text.endswith("# EOF\n")
