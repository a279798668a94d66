"""The engine of Ollama's models in this process, in front of stand-ins; Redis is real."""

import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from shared.catalog import Catalog
from shared.messages import Job, OllamaInstructions, Options, Outcome, Result
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
QUICK = {"poll_s": 0.2, "stall_s": 0.2}


class Scene:
    """Asks the engine as a worker's Celery tasks do."""

    def __init__(self, engine: RemoteEngine) -> None:
        self.engine = engine

    def submit(self, job: dict[str, Any], images: Sequence[bytes]) -> "Future[Outcome]":
        asked = Job(request_id="r", deadline=time.time() + 30, **job)
        return self.engine.submit(EngineJob(str(uuid.uuid4()), asked, images))

    def vision(
        self, task: Task, images: Sequence[bytes], options: Any = None, **body: Any
    ) -> Result:
        ask = OllamaInstructions(model=MODEL, body=body)
        job = {"tasks": (task,), "ollama": ask, "options": Options(**(options or {}))}
        return self.submit(job, images).result(40).result

    def caption(self, red: int = 7, **more: Any) -> str:
        result = self.vision(CAPTION, [plain(red)], **more)
        return str(result[CAPTION].text)

    def captions(self, count: int, clients: int) -> list[str]:
        with ThreadPoolExecutor(clients) as pool:
            return list(pool.map(self.caption, range(1, count + 1)))

    def generate(self, *, stream: bool = False, **body: Any) -> dict[str, Any]:
        """Return Ollama's own reply, as the front door gets it."""
        fields = {"prompt": "Say.", **body}
        ask = OllamaInstructions(model=MODEL, call=OllamaCall.GENERATE, body=fields, stream=stream)
        raw = self.submit({"ollama": ask}, []).result(40).raw
        assert isinstance(raw, dict)
        return raw

    def host(self, server: OllamaStandin) -> OllamaHost:
        return next(host for host in self.engine.status.hosts if host.url == server.url)

    def wait(self, server: OllamaStandin, what: Any) -> OllamaHost:
        def seen() -> OllamaHost | None:
            host = self.host(server)
            return host if what(host) else None

        return wait_for("the server's state", seen, 30)


@contextmanager
def scene(
    stack: Stack, *servers: OllamaStandin, rows: Sequence[Any] = (), **parameters: Any
) -> Iterator[Scene]:
    """Run an engine; ``rows`` are more fields of the servers, in order."""
    more = [*rows, *[{}] * len(servers)]
    hosts = [{"url": server.url, **more[n]} for n, server in enumerate(servers)]
    row = {
        "name": "ollama",
        "family": "ollama",
        "parameters": QUICK | {"hosts": hosts, **parameters},
    }
    catalog = Catalog.model_validate({"models": [row]})
    settings = Settings(redis_url=stack.redis_url, restart_grace_s=5)
    engine = RemoteEngine(settings, catalog, catalog.get("ollama"), stack.store)
    engine.start()
    try:
        running = Scene(engine)
        wait_for("the servers", lambda: len(engine.status.hosts) == len(servers) or None, 10)
        for server in servers:
            running.wait(server, lambda host: host.up or host.error)
        yield running
    finally:
        engine.close()
