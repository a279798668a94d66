"""The parent's handle on one model process: start it, send it work, read from it, kill it."""

import multiprocessing
import queue
import threading
import time
from collections.abc import Sequence
from itertools import count

from pydantic import BaseModel

from shared.model_spec import ModelSpec
from shared.settings import Settings
from shared.vocabulary import WorkerState
from workers.engine.job import EngineJob
from workers.engine.wear import WearMonitor
from workers.model import main as model_process
from workers.model.memory import Memory
from workers.model.protocol import (
    BatchReport,
    Forget,
    Prepare,
    Run,
    StateReport,
    receive_report,
    send,
)

_spawn = multiprocessing.get_context("spawn")
_generations = count(1)
JOIN_S = 5.0


class ProcessDied(Exception):
    """The process ended: it crashed, was killed, or ran out of memory."""


class ModelProcess:
    """One spawned process with one model in it.

    Start it from a thread that lives as long as the process should: the kernel ends the child when
    the thread that started it ends (``PR_SET_PDEATHSIG``).
    """

    def __init__(self, settings: Settings, spec: ModelSpec) -> None:
        self.generation = next(_generations)
        self.loaded = False
        self.load_s = 0.0
        self.memory = Memory()
        """What it used once the model was loaded."""
        self.per_image = False
        """Whether its model answers for each image by itself, so that jobs can be divided."""
        self.wear = WearMonitor(spec.engine)
        self.heard_at = self._started_at = time.monotonic()
        self.pipe, child = _spawn.Pipe()
        self._process = _spawn.Process(
            target=model_process.main,
            args=(child, settings, spec),
            name=f"model-{spec.name}",
            daemon=True,
        )
        self._process.start()
        child.close()
        # A thread writes: a child that hangs may not read, and must not hang the engine with it.
        self._outbox: queue.SimpleQueue[tuple[BaseModel, Sequence[bytes]] | None] = (
            queue.SimpleQueue()
        )
        threading.Thread(target=self._write, name="writer", daemon=True).start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid or 0

    def prepare(self, job: EngineJob) -> None:
        """Send a job's images, unless this process has them already."""
        if job.generation != self.generation:
            job.generation = self.generation
            self._outbox.put((Prepare(job=job.key, images=len(job.images)), job.images))

    def run(self, jobs: Sequence[EngineJob], max_images: int) -> None:
        """Have the process run a batch, about which it reports once.

        Args:
            jobs: the jobs, with equal instructions.
            max_images: most images that the model gets at once.
        """
        for job in jobs:
            self.prepare(job)
        run = Run(
            jobs=tuple(job.key for job in jobs),
            instructions=jobs[0].instructions,
            max_images=max_images,
        )
        self._outbox.put((run, ()))

    def forget(self, job: EngineJob) -> None:
        """Have the process drop a job that it has prepared."""
        if job.generation == self.generation:
            self._outbox.put((Forget(job=job.key), ()))

    def receive(self) -> StateReport | BatchReport:
        """Return the next report; call when ``pipe`` is ready.

        Raises:
            ProcessDied: the process has ended.
        """
        self.heard_at = time.monotonic()
        try:
            report = receive_report(self.pipe)
        except (EOFError, OSError) as err:
            self._process.join(JOIN_S)  # the exit code is None right after the pipe closes
            raise ProcessDied(f"exit code {self._process.exitcode}") from err
        if isinstance(report, StateReport) and report.state == WorkerState.READY:
            self.loaded, self.load_s = True, self.heard_at - self._started_at
            self.memory, self.per_image = report.memory, report.per_image
        return report

    def kill(self) -> None:
        """End the process now and wait for its end."""
        self._outbox.put(None)
        self._process.kill()
        self._process.join(JOIN_S)
        self.pipe.close()

    def _write(self) -> None:
        while (entry := self._outbox.get()) is not None:
            try:
                send(self.pipe, *entry)
            except (OSError, ValueError):  # the process is gone; the reader hears of it
                return
