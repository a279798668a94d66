"""APIs and workers of other versions, as in an upgrade: what each makes of the other's records.

The other version is played by hand, by what it writes into Redis.
"""

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from shared.messages import JsonObject
from shared.vocabulary import WorkerState
from tests.conftest import data_url, plain
from tests.integration.client import post
from tests.stack import API, UP_S, Stack, running_stack
from vision.schemas import Worker

MODEL = "unserved"
"""Whose worker is one of another version."""
ANSWER: JsonObject = {"outcome": {"caption": {"text": "a cat"}}}
"""The least that a worker may send."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Redis of our own, in which we write what others do."""
    with running_stack(tmp_path_factory.mktemp("versions")) as running:
        yield running


@pytest.fixture
def base(stack: Stack) -> str:
    beat(stack)
    return stack.api()


def beat(stack: Stack, **changes: object) -> None:
    """Write the heartbeat of the worker, which then has no other."""
    status = {"worker": "other", "model": MODEL, "state": "ready", "consuming": True}
    stack.redis.sadd(f"vision:workers:{MODEL}", "other")
    stack.redis.set("vision:worker:other", json.dumps({**status, "started_at": 0.0, **changes}))


def answered(stack: Stack, url: str, *messages: JsonObject, **body: Any) -> requests.Response:
    """Return the reply to a request for which the worker sends some messages."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(post, url, **body)
        key = f"vision:reply:{published(stack)['headers']['id']}"
        stack.redis.rpush(key, *map(json.dumps, messages))
        return asked.result()


def relayed(stack: Stack, url: str, name: str, **of_job: object) -> requests.Response:
    """Return the reply to a request that reaches a worker of ours as another API would send it.

    Args:
        stack: with a worker of ``fake``.
        url: a route for the model of another version, whose queue the message is taken off.
        name: of the task.
        of_job: fields of the job.
    """
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(post, url)
        message = published(stack)
        args, kwargs, embedded = json.loads(message["body"])
        kwargs["job"] |= of_job
        message["body"] = json.dumps([args, kwargs, embedded])
        message["headers"]["task"] = name
        message["properties"]["delivery_info"]["routing_key"] = "vision.fake"
        stack.redis.lpush("vision.fake", json.dumps(message))
        return asked.result()


def published(stack: Stack) -> Any:
    """Take the next message off the queue of the worker of another version."""
    popped: Any = stack.redis.brpop([f"vision.{MODEL}"], UP_S)
    return json.loads(popped[1])


@pytest.mark.parametrize(
    ("sent", "status", "retry_after"),
    [
        pytest.param({"status": 409}, 409, None, id="of-the-request"),
        pytest.param({"status": 503, "retry_after_s": 7}, 503, "7", id="that-passes"),
        pytest.param({}, 500, None, id="without-a-status"),
    ],
)
def test_an_error_that_the_api_does_not_know_has_the_status_that_the_worker_gives_it(
    stack: Stack, base: str, sent: JsonObject, status: int, retry_after: str | None
) -> None:
    error = {"error": "OfTomorrow", "message": "It is new.", "host": "there", "more": {}, **sent}
    reply = answered(stack, f"{base}{API}/caption/{MODEL}", error)
    assert (reply.status_code, reply.json()["error"]) == (status, "It is new.")
    assert reply.headers.get("Retry-After") == retry_after
    assert reply.headers["X-Worker-Host"] == "there"


def test_an_error_that_the_api_does_not_know_has_the_form_of_its_door(
    stack: Stack, base: str
) -> None:
    error = {"error": "OfTomorrow", "message": "It is new.", "status": 409}
    image = {"type": "image_url", "image_url": {"url": data_url(plain(1))}}
    body = {"model": MODEL, "messages": [{"role": "user", "content": [image]}]}
    reply = answered(stack, f"{base}/v1/chat/completions", error, **body)
    assert reply.status_code == 409
    assert reply.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([ANSWER], id="no-more-than-must-be"),
        pytest.param([ANSWER | {"times": {"queue": 0.1, "upload": 0.1}, "more": [1]}], id="fields"),
        pytest.param(
            [{"outcome": ANSWER["outcome"] | {"tags": ["new"], "more": {}}}], id="answers"
        ),
        pytest.param([{"progress": 0.5}, ANSWER], id="messages"),
    ],
)
def test_what_the_api_does_not_know_in_an_answer_is_left_out(
    stack: Stack, base: str, messages: list[JsonObject]
) -> None:
    reply = answered(stack, f"{base}{API}/caption/{MODEL}", *messages)
    assert reply.status_code == 200, reply.text
    assert reply.json()["result"] == {"caption": {"text": "a cat", "source": "image"}}


@pytest.mark.parametrize("consuming", [True, False])
def test_a_worker_in_a_state_that_the_api_does_not_know_serves_if_it_takes_requests(
    stack: Stack, base: str, *, consuming: bool
) -> None:
    beat(stack, state="drowsy", reason="It is new.", consuming=consuming, more={"watts": 5})
    found = requests.get(f"{base}{API}/models", timeout=60).json()["models"]
    (model,) = (row for row in found if row["name"] == MODEL)
    (worker,) = model["workers"]
    assert model["served"] == consuming
    assert worker["state"] == ("ready" if consuming else "loading")
    assert worker["reason"] == "It is new."
    ready = requests.get(f"{base}/readyz", timeout=60)
    assert ready.status_code == 200
    reply = answered(stack, f"{base}{API}/caption/{MODEL}", ANSWER)
    assert reply.status_code == 200


def test_the_command_line_counts_a_worker_in_a_state_that_it_does_not_know() -> None:
    drowsy = Worker.model_validate({"worker": "w", "state": "drowsy", "consuming": True, "more": 1})
    assert drowsy.is_up


@pytest.mark.parametrize("state", WorkerState)
def test_the_command_line_counts_a_worker_in_any_other_state_as_the_api_does(
    state: WorkerState,
) -> None:
    assert Worker(worker="w", state=state, consuming=True).is_up == state.is_up


def test_a_run_that_the_api_cannot_read_hides_no_other(stack: Stack, base: str) -> None:
    known, unknown = str(uuid.uuid4()), str(uuid.uuid4())
    report = {"kind": "folders", "name": "Pictures", "state": "running", "total": 9, "done": 1}
    report |= {"failed": 0, "more": {}}
    stack.store.runs.put(known, json.dumps(report))
    stack.store.runs.put(unknown, json.dumps({**report, "state": "dreaming"}))
    reply = requests.get(f"{base}{API}/runs", timeout=60)
    assert reply.status_code == 200
    assert [run["id"] for run in reply.json()["runs"]] == [known]


def test_a_worker_that_does_not_know_a_command_has_not_confirmed_it(
    stack: Stack, base: str
) -> None:
    stack.worker("fake")
    later = stack.another_api(
        before="import shared.messages as m; m.command_name = 'later_{}'.format"
    )
    url = f"{API}/models/fake/unload"
    assert requests.post(f"{later}{url}", timeout=60).json()["workers"] == []


def test_an_error_of_an_older_worker_has_the_status_of_its_kind(stack: Stack, base: str) -> None:
    error = {"error": "UndecodableImage", "message": "It is none."}
    reply = answered(stack, f"{base}{API}/caption/{MODEL}", error)
    assert (reply.status_code, reply.json()["error"]) == (422, "It is none.")


@pytest.mark.parametrize(
    ("name", "of_job"),
    [
        pytest.param("vision.caption", {"more": {"x": 1}, "options": {"magic": 3}}, id="fields"),
        pytest.param("vision.captions_of_tomorrow", {}, id="name"),
    ],
)
def test_a_worker_ignores_what_it_does_not_know_of_a_job(
    stack: Stack, base: str, name: str, of_job: JsonObject
) -> None:
    stack.worker("fake")
    reply = relayed(stack, f"{base}{API}/caption/{MODEL}", name, **of_job)
    assert reply.status_code == 200, reply.text
    assert reply.json()["result"]["caption"]["text"].startswith("rgb 1 ")


@pytest.mark.parametrize(
    ("name", "of_job"),
    [
        pytest.param("vision.tags", {"tasks": ["tags"]}, id="task"),
        pytest.param("vision.caption", {"messages": [{"role": "tool"}]}, id="word"),
    ],
)
def test_a_worker_says_at_once_that_it_cannot_read_a_job(
    stack: Stack, base: str, name: str, of_job: JsonObject
) -> None:
    stack.worker("fake")
    secret = {"prompt": "the secret prompt"}
    reply = relayed(stack, f"{base}{API}/caption/{MODEL}", name, **of_job, **secret)
    assert reply.status_code == 503
    assert "another version" in reply.json()["error"]
    assert reply.headers["Retry-After"] == "30"
    assert secret["prompt"] not in stack.processes.logs("worker-fake")
