"""Traces, where they are configured: a request is one trace from the API to the worker."""

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from launcher.ports import LOOPBACK
from tests.conftest import data_url, plain
from tests.stack import API, ROOT, child_environment, running_stack

WITHOUT_PACKAGES = """
import sys
sys.modules["opentelemetry"] = None  # as if it were not installed
from api.wsgi import application
print(application.test_client().get("/livez").status_code)
"""


@contextmanager
def collector() -> Iterator[tuple[str, "queue.Queue[tuple[str, str, str]]"]]:
    """An OTLP receiver: its address, and the received spans as (service, name, trace id)."""
    spans: queue.Queue[tuple[str, str, str]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            for part in ExportTraceServiceRequest.FromString(body).resource_spans:
                about = {item.key: item.value.string_value for item in part.resource.attributes}
                for scope in part.scope_spans:
                    for span in scope.spans:
                        spans.put((about["service.name"], span.name, span.trace_id.hex()))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://{LOOPBACK}:{server.server_port}", spans
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
def test_a_request_is_one_trace_from_the_api_to_the_worker(tmp_path: Path) -> None:
    with collector() as (endpoint, spans):
        tracing = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        with running_stack(tmp_path) as stack:
            stack.another_worker("fake", **tracing)
            stack.wait_ready("fake")
            base = stack.api(**tracing)
            body = {"images": [data_url(plain(1))]}
            reply = requests.post(f"{base}{API}/caption/fake", json=body, timeout=60)
            assert reply.status_code == 200
            seen: dict[tuple[str, str], str] = {}
            while len(seen) < 3:
                service, name, trace = spans.get(timeout=60)
                seen[service, name] = trace
    assert len(set(seen.values())) == 1
    assert ("vision-api", "apply_async/vision.caption") in seen
    assert ("vision-worker", "run/vision.caption") in seen
    assert not [name for _, name in seen if "livez" in name]


def test_without_the_packages_the_service_runs_and_logs_what_to_install() -> None:
    environment = child_environment(
        VISION_REDIS_URL="redis://127.0.0.1:1/0",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
    )
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PACKAGES],
        cwd=ROOT, env=environment, capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.decode().strip() == "200"
    log = [json.loads(line) for line in done.stderr.decode().splitlines()]
    assert any("requirements-otel.txt" in line["event"] for line in log)
