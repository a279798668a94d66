"""A real API, Redis and worker in front of two stand-ins of Ollama servers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import requests

from tests.conftest import data_url, plain
from tests.ollama_standin import Knobs, OllamaStandin, Spec
from tests.stack import API, Stack, running_stack, wait_for

MODELS = ("llava:7b", "gemma3:4b")
DEFAULT_KNOBS = Knobs()


class Ollama(NamedTuple):
    """A stack in front of two servers."""

    stack: Stack
    base: str
    first: OllamaStandin
    second: OllamaStandin

    @property
    def servers(self) -> tuple[OllamaStandin, OllamaStandin]:
        return self.first, self.second

    def ask(self, task: str, red: int = 7, model: str = "llava:7b", **body: Any) -> Any:
        images = body.pop("images", [data_url(plain(red))])
        url = f"{self.base}{API}/{task}"
        return requests.post(url, json={"model": model, "images": images, **body}, timeout=60)

    def caption(self, red: int = 7, **body: Any) -> str:
        reply = self.ask("caption", red, **body)
        assert reply.status_code == 200, reply.text
        return str(reply.json()["result"]["caption"]["text"])

    def hosts(self) -> dict[str, Any]:
        workers = self.stack.presence("ollama").workers
        return {host.url: host for worker in workers for host in worker.hosts}

    def sent(self) -> list[dict[str, Any]]:
        """Bodies of the requests that both servers were to answer."""
        found = [request for server in self.servers for request in server.generates()]
        return [request.body or {} for request in sorted(found, key=lambda request: request.at)]


@contextmanager
def running_ollama(folder: Path) -> Iterator[Ollama]:
    """Run the stack and its two servers."""
    with OllamaStandin(MODELS) as first, OllamaStandin(MODELS) as second:
        hosts = f"{first.url},{second.url}"
        with running_stack(folder, OLLAMA_ENABLED="true", OLLAMA_HOST=hosts) as stack:
            stack.worker("ollama")
            yield Ollama(stack, stack.api(OLLAMA_ENABLED="true"), first, second)


def as_new(running: Ollama) -> Ollama:
    """See that both servers are up, as new, and known to be so."""
    for server in running.servers:
        for name, value in DEFAULT_KNOBS:
            setattr(server.knobs, name, value)
        for model in server.models.values():
            model.spec = Spec()
        server.requests.clear()
        if server.is_down:
            server.come_back()

    def both_up() -> bool:
        hosts = running.hosts()
        return all(hosts[server.url].up for server in running.servers)

    wait_for("both servers", both_up, 20)
    return running
