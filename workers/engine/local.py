"""The local engine as other threads see it: the model lives in a process of this machine."""

import threading
from collections.abc import Callable
from concurrent.futures import Future

from shared.messages import Outcome
from shared.model_spec import ModelSpec
from shared.redis.presence import EngineStatus
from shared.settings import Settings
from workers.engine.job import EngineJob, FindCancelled, requeue
from workers.engine.loop import EngineLoop


class LocalEngine:
    """An :class:`~workers.engine.interface.Engine` around one thread, which does all the work."""

    def __init__(self, settings: Settings, spec: ModelSpec, find_cancelled: FindCancelled) -> None:
        """Prepare; nothing runs before :meth:`start`.

        Args:
            settings: time-outs and folders.
            spec: the model to serve, with its engine options.
            find_cancelled: returns those of some task ids that nobody waits for.
        """
        self._loop = EngineLoop(settings, spec, find_cancelled)
        self._thread = threading.Thread(target=self._loop.run, name="engine", daemon=True)

    @property
    def on_batch(self) -> Callable[[float], None]:
        """Called in the engine's thread with the seconds that each batch took."""
        return self._loop.on_batch

    @on_batch.setter
    def on_batch(self, callback: Callable[[float], None]) -> None:
        self._loop.on_batch = callback

    @property
    def concurrency(self) -> int:
        """How many jobs to hold at once."""
        return self._loop.spec.engine.concurrency

    @property
    def status(self) -> EngineStatus:
        """What the engine does and has done."""
        return self._loop.status

    def start(self) -> None:
        """Start loading the model; returns at once."""
        self._thread.start()

    def submit(self, job: EngineJob) -> "Future[Outcome]":
        """Hand in a job.

        Its future raises ``Dropped``, ``Requeued`` or a :class:`~shared.errors.VisionError`.
        """
        self._loop.inbox.put(job)
        # A job that came after the thread's last look at the inbox.
        if self._loop.stopping and not self._thread.is_alive() and not job.future.done():
            requeue([job])
        return job.future

    def drain(self) -> None:
        """Finish the running batch; requeue all else, now and from now on."""
        self._loop.inbox.put(self._loop.drain)

    def recycle(self) -> None:
        """Replace the model process, because an operator wants it; retry a failed one at once."""
        self._loop.inbox.put(self._loop.recycle)

    def unload(self) -> None:
        """End the model process until the next job, because an operator wants it."""
        self._loop.inbox.put(self._loop.unload)

    def close(self) -> None:
        """Drain, then end the model process and the thread."""
        self._loop.inbox.put(self._loop.drain)
        self._loop.inbox.put(self._loop.stop)
        self._thread.join()
