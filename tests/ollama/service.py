"""A real API, Redis and worker, with stand-ins of two Ollama servers."""

from functools import partial
from typing import Any, NamedTuple

import requests

from shared.redis.ollama import OllamaHost
from tests.conftest import data_url, plain
from tests.ollama_standin import Knobs, OllamaStandin, Spec
from tests.stack import API, Stack, wait_for

MODELS = ("llava:7b", "gemma3:4b")
DEFAULT_KNOBS = Knobs()


class Ollama(NamedTuple):
    """A stack with two servers."""

    stack: Stack
    base: str
    first: OllamaStandin
    second: OllamaStandin

    @property
    def servers(self) -> tuple[OllamaStandin, OllamaStandin]:
        return self.first, self.second

    def post(self, task: str, red: int = 7, model: str = "llava:7b", **body: Any) -> Any:
        images = body.pop("images", [data_url(plain(red))])
        url = f"{self.base}{API}/{task}"
        return requests.post(url, json={"model": model, "images": images, **body}, timeout=60)

    def caption(self, red: int = 7, **body: Any) -> str:
        reply = self.post("caption", red, **body)
        assert reply.status_code == 200, reply.text
        return str(reply.json()["result"]["caption"]["text"])

    def statuses(self) -> dict[str, OllamaHost]:
        """Return what the worker publishes of each server, by URL."""
        return {status.url: status for status in self.stack.status("ollama").hosts}

    def sent(self) -> list[dict[str, Any]]:
        """Return the bodies of the requests that both servers got, in order of arrival."""
        found = [request for server in self.servers for request in server.generates()]
        return [request.body or {} for request in sorted(found, key=lambda request: request.at)]


def _was_polled(server: OllamaStandin) -> bool:
    """Whether the worker has looked at a server since it is back; the second look has begun."""
    return sum(request.path == "/api/ps" for request in server.requests) > 1


def set_back(server: OllamaStandin) -> None:
    """Have a server behave as a new one."""
    server.most_active = server.active
    for name, value in DEFAULT_KNOBS:
        setattr(server.knobs, name, value)
    for model in server.models.values():
        model.spec = Spec()


def reset(running: Ollama) -> Ollama:
    """Reset both servers, and wait until the worker has seen that they are up."""
    for server in running.servers:
        set_back(server)
        if server.is_down:
            server.requests.clear()
            server.come_back()
            # What the worker last said may be from before it was down.
            wait_for("a look at it", partial(_was_polled, server))
        server.requests.clear()

    def both_up() -> bool:
        statuses = running.statuses()
        return all(statuses[server.url].up for server in running.servers)

    wait_for("both servers", both_up)
    return running
