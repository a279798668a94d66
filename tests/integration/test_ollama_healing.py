"""A model that becomes slow is healed without clients noticing, and never in a loop."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Self

import pytest
import requests

from launcher.ports import free_port
from shared.redis.ollama import OllamaHost
from tests.conftest import data_url, plain
from tests.ollama_standin import OllamaStandin
from tests.stack import API, Stack, running_stack, wait_for

pytestmark = pytest.mark.slow

MODEL = "llava:7b"
REQUESTS = 200
WORDS = "one two three four five six seven eight"


class HealingStack:
    """A stack with some servers."""

    def __init__(
        self, held: ExitStack, folder: Path, *servers: OllamaStandin, **environment: str
    ) -> None:
        hosts = ",".join(server.url for server in servers)
        self.metrics = f"http://127.0.0.1:{(port := free_port())}/metrics"
        settings = {"OLLAMA_ENABLED": "true", "OLLAMA_HOST": hosts, **environment}
        settings["VISION_METRICS_PORT"] = str(port)
        self.stack: Stack = held.enter_context(running_stack(folder, **settings))
        self.stack.worker("ollama")
        self.base = self.stack.api()

    def captions(self, count: int, clients: int = 4) -> list[requests.Response]:
        def caption(n: int) -> requests.Response:
            body = {"model": MODEL, "images": [data_url(plain(n % 250 + 1))]}
            return requests.post(f"{self.base}{API}/caption", json=body, timeout=60)

        with ThreadPoolExecutor(clients) as pool:
            return list(pool.map(caption, range(count)))

    def token_s(self) -> float:
        """Return the time per token as the server reports it, whatever the machine's load."""
        body = {"model": MODEL, "prompt": "Say.", "stream": False}
        reply = requests.post(f"{self.base}/api/generate", json=body, timeout=60).json()
        return float(reply["eval_duration"]) / float(reply["eval_count"])

    def listed(self, server: OllamaStandin) -> dict[str, Any]:
        """Return the server's status in the list of models, which operators read."""
        models = requests.get(f"{self.base}{API}/models", timeout=30).json()["models"]
        row = next(model for model in models if model["name"] == "ollama")
        hosts: list[dict[str, Any]] = row["workers"][0]["hosts"]
        return next(host for host in hosts if host["url"] == server.url)

    def status(self, server: OllamaStandin) -> OllamaHost:
        hosts = self.stack.status("ollama").hosts
        return next(status for status in hosts if status.url == server.url)

    def wait(self, server: OllamaStandin, condition: Callable[[OllamaHost], object]) -> OllamaHost:
        def seen() -> OllamaHost | None:
            status = self.status(server)
            return status if condition(status) else None

        return wait_for("the server's status", seen)


def standin(held: ExitStack, **knobs: Any) -> OllamaStandin:
    return held.enter_context(OllamaStandin((MODEL,), token_s=0.002, answer=WORDS, **knobs))


@pytest.mark.parametrize("fault", ["slow_after", "cpu_after"])
def test_a_model_that_became_slow_is_reloaded_and_no_client_notices(
    tmp_path: Path, fault: str
) -> None:
    with ExitStack() as held:
        server = standin(held, load_s=0.6, **{fault: 60})
        healing = HealingStack(held, tmp_path, server)
        before = healing.token_s()
        replies = healing.captions(REQUESTS)
        assert [reply.status_code for reply in replies] == [200] * REQUESTS
        status = healing.wait(server, lambda status: status.heals)
        assert status.heals == {"healed": 1}
        assert status.degraded == {}
        assert server.unloads[MODEL] == 1
        assert server.loads[MODEL] == 2
        healing.captions(6)
        status = healing.wait(server, lambda status: not status.healing)
        assert status.tokens_per_s[MODEL] > 0.5 * status.best_tokens_per_s[MODEL]
        assert status.gpu_share[MODEL] == 1.0
        assert healing.token_s() == before
        listed = healing.listed(server)
        assert (listed["heals"], listed["degraded"]) == ({"healed": 1}, {})
        assert listed["load_s"][MODEL] > 0.5
        metrics = requests.get(healing.metrics, timeout=30).text
        assert f'vision_ollama_heals_total{{outcome="healed",server="{server.url}"}} 1.0' in metrics
        assert f'vision_ollama_load_seconds{{model="{MODEL}",server="{server.url}"}}' in metrics


def test_a_model_that_stays_slow_is_avoided_and_not_reloaded_again(tmp_path: Path) -> None:
    with ExitStack() as held:
        slow, fast = standin(held, cpu_after=10, cpu_until="never"), standin(held)
        healing = HealingStack(held, tmp_path, slow, fast)
        assert {reply.status_code for reply in healing.captions(80)} == {200}
        status = healing.wait(slow, lambda status: status.heals)
        assert status.heals == {"failed": 1}
        assert status.degraded[MODEL]
        before = len(slow.generates()), len(fast.generates())
        for reply in healing.captions(10, clients=1):
            assert reply.status_code == 200
        after = len(slow.generates()), len(fast.generates())
        assert (after[0] - before[0], after[1] - before[1]) == (0, 10)
        # Under load both are used, but the slow one is not healed again.
        healing.captions(40, clients=8)
        assert slow.unloads[MODEL] == 1
        worker = healing.stack.status("ollama")
        assert worker.state == "degraded"
        assert slow.url in worker.reason


@pytest.mark.parametrize("way", ["OLLAMA_RESTART_COMMAND", "OLLAMA_RESTART_URL"])
def test_the_operators_restart_is_requested_once_and_heals(tmp_path: Path, way: str) -> None:
    with ExitStack() as held:
        server = standin(held, slow_after=20, slow_until="restart")
        calls = tmp_path / "calls"
        hook = held.enter_context(Webhook(server, calls))
        call = hook.command if way == "OLLAMA_RESTART_COMMAND" else hook.url
        healing = HealingStack(held, tmp_path, server, **{way: call})
        assert {reply.status_code for reply in healing.captions(60)} == {200}
        status = healing.wait(server, lambda status: status.heals)
        assert status.heals == {"healed by a restart": 1}
        assert calls.read_text().count(server.url) == 1
        assert MODEL in calls.read_text()
        assert {reply.status_code for reply in healing.captions(20)} == {200}


class Webhook:
    """Restarts a server when it is called, by HTTP or by a command, and keeps what was sent."""

    def __init__(self, server: OllamaStandin, calls: Path) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with calls.open("ab") as file:
                    file.write(body + b"\n")
                server.restart()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._http = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,))
        self.url = f"http://127.0.0.1:{self._http.server_port}/"
        self.command = (
            "python3 -c 'import os, urllib.request as u; e = os.environ; "
            f'u.urlopen("{self.url}", (e["OLLAMA_SERVER"] + e["OLLAMA_MODEL"]).encode())\''
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
