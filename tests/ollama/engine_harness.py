"""A remote engine in this process, with stand-ins of Ollama servers and a real Redis."""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from shared.catalog import Catalog
from shared.messages import Job, OllamaInstructions, Outcome, Result
from shared.options import Options
from shared.redis.ollama import OllamaHost
from shared.settings import Settings
from shared.tasks import CAPTION
from shared.tasks.registry import Task
from shared.vocabulary import OllamaCall
from tests.conftest import plain
from tests.ollama_standin import OllamaStandin
from tests.stack import Stack, wait_for
from workers.engine.job import EngineJob
from workers.remote.engine import RemoteEngine

MODEL = "llava:7b"
TIMES = {"poll_s": 0.2, "stall_s": 30}
"""Servers are soon seen as they are, and none counts as silent on a busy machine."""


class EngineHarness:
    """Submits jobs to an engine as a worker's Celery tasks do."""

    def __init__(self, engine: RemoteEngine) -> None:
        self.engine = engine

    def submit(self, fields: dict[str, Any], images: Sequence[bytes]) -> "Future[Outcome]":
        job = Job(request_id="r", deadline=time.time() + 30, **fields)
        return self.engine.submit(EngineJob(str(uuid.uuid4()), job, images))

    def vision(
        self, task: Task, images: Sequence[bytes], options: Any = None, **body: Any
    ) -> Result:
        instructions = OllamaInstructions(model=MODEL, body=body)
        options = Options(**(options or {}))
        fields = {"tasks": (task,), "ollama": instructions, "options": options}
        return self.submit(fields, images).result(40).result

    def caption(self, red: int = 7, **more: Any) -> str:
        result = self.vision(CAPTION, [plain(red)], **more)
        return str(result[CAPTION].text)

    def captions(self, count: int, clients: int) -> list[str]:
        with ThreadPoolExecutor(clients) as pool:
            return list(pool.map(self.caption, range(1, count + 1)))

    def generate(self, *, stream: bool = False, model: str = MODEL, **body: Any) -> dict[str, Any]:
        """Return Ollama's own reply, as the API gets it."""
        instructions = OllamaInstructions(
            model=model,
            call=OllamaCall.GENERATE,
            body={"prompt": "Say.", **body},
            stream=stream,
        )
        raw = self.submit({"ollama": instructions}, []).result(40).raw
        assert isinstance(raw, dict)
        return raw

    def show(self, model: str) -> dict[str, Any]:
        instructions = OllamaInstructions(model=model, call=OllamaCall.SHOW)
        raw = self.submit({"ollama": instructions}, []).result(40).raw
        assert isinstance(raw, dict)
        return raw

    def status(self, server: OllamaStandin) -> OllamaHost:
        """Return what the last poll has found; for what has just changed, wait."""
        return next(status for status in self.engine.status.hosts if status.url == server.url)

    def wait(self, server: OllamaStandin, condition: Callable[[OllamaHost], object]) -> OllamaHost:
        def seen() -> OllamaHost | None:
            status = self.status(server)
            return status if condition(status) else None

        return wait_for("the server's status", seen)


@contextmanager
def running_engine(
    stack: Stack, *servers: OllamaStandin, configs: Sequence[Any] = (), **parameters: Any
) -> Iterator[EngineHarness]:
    """Run an engine; ``configs`` are further fields of the servers' configuration, in order."""
    more = [*configs, *[{}] * len(servers)]
    hosts = [{"url": server.url, **more[n]} for n, server in enumerate(servers)]
    row = {
        "name": "ollama",
        "family": "ollama",
        "parameters": TIMES | {"hosts": hosts, **parameters},
    }
    catalog = Catalog.model_validate({"models": [row]})
    settings = Settings(redis_url=stack.redis_url, restart_grace_s=5)
    engine = RemoteEngine(settings, catalog, catalog.get("ollama"), stack.store)
    engine.start()
    try:
        harness = EngineHarness(engine)
        wait_for("the servers", lambda: len(engine.status.hosts) == len(servers))
        for server in servers:
            harness.wait(server, lambda status: status.up or status.error)
        yield harness
    finally:
        engine.close()
