"""The engine of Ollama's models: no model process, but servers elsewhere. One event loop.

An :class:`workers.engine.interface.Engine`, as the local one is.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from functools import partial

import redis
import structlog

from shared.catalog import Catalog
from shared.errors import BadRequest, ModelFailed, VisionError
from shared.images import for_ollama
from shared.messages import JsonObject, Outcome
from shared.model_spec import ModelSpec
from shared.redis.presence import EngineStatus
from shared.redis.store import Store
from shared.settings import Settings
from shared.vocabulary import OllamaCall, WorkerState
from workers.engine.job import Dropped, EngineJob, Requeued
from workers.engine.status import StatusTracker
from workers.llm.task_runner import LlmTaskRunner
from workers.remote.client import with_images
from workers.remote.config import defaults_of, parameters_of
from workers.remote.healer import Healer
from workers.remote.pool import Pool
from workers.remote.router import Asker
from workers.remote.status import snapshot_of, state_of

log = structlog.get_logger(__name__)

VOID_S = 1.0
"""How often it is asked whose client has gone."""
STOP_S = 5.0


class RemoteEngine:
    """Spreads jobs over the servers, moves them when one fails, and heals what became slow."""

    def __init__(self, settings: Settings, catalog: Catalog, spec: ModelSpec, store: Store) -> None:
        """Prepare; nothing runs before :meth:`start`.

        Raises:
            ValueError: the row's parameters or ``OLLAMA_HOST`` are wrong.
        """
        self._settings, self._catalog, self._spec, self._store = settings, catalog, spec, store
        self._parameters = parameters_of(spec)
        self._servers = self._parameters.servers(settings.ollama)
        self._tracker = StatusTracker(1)
        self.on_batch: Callable[[float], None] = lambda _: None
        """Called in the engine's thread with the seconds that each answer took."""
        self._tracker.set_state(WorkerState.LOADING)
        self._calls: dict[asyncio.Task[None], EngineJob] = {}
        self._begun: set[EngineJob] = set()
        self._draining = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ollama", daemon=True)
        self._pool: Pool
        self._healer: Healer
        self._asker: Asker
        self._over: asyncio.Event

    # For other threads.

    @property
    def concurrency(self) -> int:
        """Jobs to hold: those that run, as many that follow, and some that need no server."""
        return 2 * sum(row.parallel for row in self._servers) + 2

    @property
    def status(self) -> EngineStatus:
        """What the engine does and has done."""
        return self._tracker.status

    def start(self) -> None:
        """Start looking at the servers; returns at once."""
        self._thread.start()
        self._started.wait()

    def submit(self, item: EngineJob) -> "Future[Outcome]":
        """Hand in a job.

        Its future raises ``Dropped``, ``Requeued`` or a :class:`VisionError`.
        """
        if not self._post(lambda: self._take(item)):
            item.future.set_exception(Requeued())  # Celery's last threads, after the end
        return item.future

    def drain(self) -> None:
        """Finish what has begun; hand back all else, now and from now on."""
        self._post(self._begin_drain)

    def recycle(self) -> None:
        """Load every loaded model anew, because an operator wants it."""
        self._post(self._healer.reload_all)

    def unload(self) -> None:
        """Unload every model until its next job, because an operator wants it."""
        self._post(lambda: self._background(self._healer.unload_all()))

    def close(self) -> None:
        """End the loop and the thread."""
        self._post(self._begin_drain)
        self._post(self._over.set)
        self._thread.join()

    def _post(self, call: Callable[[], object]) -> bool:
        """Have the loop make a call; say whether there still is a loop."""
        assert self._loop  # noqa: S101 - started
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:
            return False
        return True

    # The loop.

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        parameters = self._parameters
        self._pool = Pool(
            self._servers, parameters.healing, parameters.poll_s, self._settings.restart_grace_s
        )
        self._healer = Healer(
            self._pool, parameters.healing, self._settings.ollama, self._store_claim
        )
        self._asker = Asker(self._pool, self._healer, parameters.stall_s)
        self._helpers = {
            asyncio.create_task(self._pool.watch(self._announce)),
            asyncio.create_task(self._drop_unwanted()),
        }
        self._started.set()
        await self._over.wait()
        if self._calls:
            await asyncio.wait(self._calls, timeout=STOP_S)
        for task in (*self._calls, *self._helpers):
            task.cancel()
        await asyncio.gather(*self._calls, *self._helpers, return_exceptions=True)
        for host in self._pool.hosts:
            await host.client.close()

    def _background(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._helpers.add(task)
        task.add_done_callback(self._helpers.discard)

    def _take(self, item: EngineJob) -> None:
        if self._draining:
            item.future.set_exception(Requeued())
            return
        task = asyncio.create_task(self._serve(item))
        self._calls[task] = item
        task.add_done_callback(lambda _: self._calls.pop(task))

    def _begin_drain(self) -> None:
        self._draining = True
        for task, item in self._calls.items():
            if item not in self._begun:
                task.cancel()

    async def _drop_unwanted(self) -> None:
        """Cancel the calls whose clients have gone; the server then stops generating."""
        while True:
            await asyncio.sleep(VOID_S)
            calls = dict(self._calls)
            if not calls:
                continue
            try:
                ids = [item.task_id for item in calls.values()]
                gone = await asyncio.to_thread(self._store.cancellations.among, ids)
            except redis.RedisError as err:
                log.warning("cannot ask who has gone", error=str(err))
                continue
            for task, item in calls.items():
                if item.task_id in gone:
                    task.cancel()

    async def _serve(self, item: EngineJob) -> None:
        """Run one job and resolve its future, whatever happens."""
        structlog.contextvars.bind_contextvars(
            request_id=item.message.request_id, task_id=item.task_id
        )
        outcome: BaseException | Outcome
        try:
            async with asyncio.timeout(item.message.deadline - time.time()):
                outcome = await self._answer(item)
        except TimeoutError:
            outcome = Dropped()
        except asyncio.CancelledError:
            requeued = self._draining and item not in self._begun
            outcome = Requeued() if requeued else Dropped()
        except VisionError as err:
            outcome = err
        except Exception:
            log.exception("bug in the Ollama engine")
            outcome = ModelFailed("Internal error on the way to Ollama; the worker's log tells.")
        self._begun.discard(item)
        if isinstance(outcome, Outcome):
            item.future.set_result(outcome)
        else:
            item.future.set_exception(outcome)

    async def _answer(self, item: EngineJob) -> Outcome:
        ask = item.message.ollama
        if ask is None:
            raise BadRequest("The job names no model of Ollama.")
        if ask.call == OllamaCall.SHOW:
            return Outcome(raw=await self._asker.show(ask.model, ask.body))
        images = [await asyncio.to_thread(for_ollama, image) for image in item.images]
        started, begun = time.monotonic(), partial(self._begun.add, item)
        if ask.call == OllamaCall.VISION:

            async def generate(body: JsonObject) -> JsonObject:
                return await self._asker.ask("/api/generate", body, begun)

            defaults = defaults_of(self._catalog, ask.model)
            runner = LlmTaskRunner(item.message, defaults, self._settings.ollama, generate)
            outcome = Outcome(await runner.run(images))
        else:
            body = {**with_images(ask.body, images), "model": ask.model}
            on_line = partial(self._pass_on, item.task_id) if ask.stream else None
            raw = await self._asker.ask(f"/api/{ask.call}", body, begun, on_line)
            outcome = Outcome(raw=raw)
        self._tracker.batch_done(1, len(images), self._tracker.memory)
        self.on_batch(time.monotonic() - started)
        return outcome

    async def _pass_on(self, task_id: str, line: JsonObject) -> None:
        await asyncio.to_thread(self._store.parts.push, task_id, line)

    # What others see.

    async def _announce(self) -> None:
        """Publish state and, for the front door, what the servers have."""
        hosts = self._pool.hosts
        self._tracker.hosts = tuple(host.status() for host in hosts)
        self._tracker.set_state(*state_of(self._pool))
        try:
            await asyncio.to_thread(self._store.ollama.put, snapshot_of(hosts))
        except redis.RedisError as err:
            log.warning("cannot say what Ollama has", error=str(err))
        self._healer.look_again()

    async def _store_claim(self, what: str, seconds: float) -> bool:
        try:
            return await asyncio.to_thread(self._store.claims.take, what, seconds)
        except redis.RedisError:
            return False
