"""The engine of Ollama's models: a thread with an event loop, and servers elsewhere."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future

import redis
import structlog

from shared.catalog import Catalog
from shared.messages import JobTimes, Outcome
from shared.model_spec import EngineOptions, ModelSpec
from shared.redis.presence import EngineStatus
from shared.redis.store import Store
from shared.settings import Settings
from shared.vocabulary import WorkerState
from workers.engine.job import EngineJob, Requeued
from workers.engine.sizing import BatchSizer
from workers.engine.status import StatusTracker
from workers.preparing.pool import PreparingPool
from workers.remote.config import read_parameters
from workers.remote.healer import Healer
from workers.remote.jobs import JobRunner
from workers.remote.pool import Pool
from workers.remote.router import FailoverRouter
from workers.remote.status import make_snapshot, worker_state

log = structlog.get_logger(__name__)

STOP_TIMEOUT_S = 5.0
"""How long running jobs may take when the engine is closed."""
JOBS_WITHOUT_SERVER = 2
"""Jobs held beside those that run on servers or wait for them, such as ``show``."""


class RemoteEngine:
    """An :class:`~workers.engine.interface.Engine` whose models run on Ollama servers."""

    def __init__(self, settings: Settings, catalog: Catalog, spec: ModelSpec, store: Store) -> None:
        """Prepare; nothing runs before :meth:`start`.

        Raises:
            ValueError: the row's parameters or ``OLLAMA_HOST`` are invalid.
        """
        self._settings, self._catalog, self._store = settings, catalog, store
        self._parameters = read_parameters(spec)
        self._configs = self._parameters.servers(settings.ollama)
        self.on_batch: Callable[[float], None] = lambda _: None
        """Called in the engine's thread with the seconds that each answer took."""
        self._tracker = StatusTracker(BatchSizer(EngineOptions(max_batch=1)))
        self._tracker.set_state(WorkerState.LOADING)
        self._preparing = PreparingPool(settings)
        self._background: set[asyncio.Future[None]] = set()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ollama", daemon=True)
        # Made in the event loop, before start() returns.
        self._loop: asyncio.AbstractEventLoop
        self._closed: asyncio.Event
        self._pool: Pool
        self._healer: Healer
        self._jobs: JobRunner

    # Called in other threads.

    @property
    def concurrency(self) -> int:
        """Jobs to hold: those that run, as many that follow, and some that need no server."""
        return 2 * sum(config.parallel for config in self._configs) + JOBS_WITHOUT_SERVER

    @property
    def status(self) -> EngineStatus:
        """What the engine does and has done."""
        return self._tracker.status

    def start(self) -> None:
        """Start polling the servers; returns at once."""
        self._preparing.start()
        self._thread.start()
        self._started.wait()

    def submit(self, job: EngineJob) -> "Future[Outcome]":
        """Hand in a job.

        Its future raises ``Dropped``, ``Requeued`` or a :class:`~shared.errors.VisionError`.
        """
        if not self._call_in_loop(lambda: self._jobs.submit(job)):
            job.future.set_exception(Requeued())  # Celery's last threads, after close()
        return job.future

    def drain(self) -> None:
        """Finish the jobs that have begun; requeue all others, now and from now on."""
        self._call_in_loop(self._jobs.drain)

    def recycle(self) -> None:
        """Reload all loaded models, because an operator wants it."""
        self._call_in_loop(self._healer.reload_all)

    def unload(self) -> None:
        """Unload each model until its next job, because an operator wants it."""
        self._call_in_loop(lambda: self._run_in_background(self._healer.unload_all()))

    def close(self) -> None:
        """Drain, then end the loop and the thread."""
        self.drain()
        self._call_in_loop(self._closed.set)
        self._thread.join()
        self._preparing.close()

    def _call_in_loop(self, callback: Callable[[], object]) -> bool:
        """Have the loop call something; return whether the loop still runs."""
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            return False
        return True

    # Called in the event loop.

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop, self._closed = asyncio.get_running_loop(), asyncio.Event()
        parameters, environment = self._parameters, self._settings.ollama
        self._pool = Pool(
            self._configs, parameters.healing, parameters.poll_s, self._settings.restart_grace_s
        )
        self._healer = Healer(self._pool, parameters.healing, environment, self._claim)
        router = FailoverRouter(self._pool, self._healer, parameters.stall_s)
        self._jobs = JobRunner(
            self._settings, self._catalog, self._store, router, self._preparing, self._count
        )
        self._run_in_background(self._pool.poll(self._publish))
        self._run_in_background(self._jobs.drop_cancelled())
        self._started.set()
        await self._closed.wait()
        await self._jobs.stop(STOP_TIMEOUT_S)
        background = list(self._background)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        for server in self._pool.servers:
            await server.client.close()

    def _run_in_background(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _count(self, images: int, seconds: float) -> None:
        self._tracker.record_batch(images, seconds, [JobTimes.split(seconds, 0.0, seconds)])
        self.on_batch(seconds)

    async def _publish(self) -> None:
        """Publish the engine's state, and for the API which models the servers have."""
        servers = self._pool.servers
        self._tracker.hosts = tuple(server.status() for server in servers)
        self._tracker.set_state(*worker_state(self._pool))
        try:
            await asyncio.to_thread(self._store.ollama.put, make_snapshot(servers))
        except redis.RedisError as err:
            log.warning("cannot publish the models of ollama", error=str(err))
        self._healer.retry_degraded()

    async def _claim(self, what: str, seconds: float) -> bool:
        try:
            return await asyncio.to_thread(self._store.claims.take, what, seconds)
        except redis.RedisError:
            return False
