"""The parent's handle on one model process: start it, send it work, read from it, kill it."""

import time
from collections.abc import Sequence
from itertools import count

from shared.model_spec import ModelSpec
from shared.vocabulary import WorkerState
from workers.engine.children import JOIN_S, ForkServer
from workers.engine.job import EngineJob
from workers.engine.outbox import Outbox
from workers.engine.wear import WearMonitor
from workers.model.fork_server import MODEL_PROCESS
from workers.model.memory import Memory
from workers.model.protocol import (
    BatchReport,
    Forget,
    Hold,
    ModelFacts,
    Run,
    StateReport,
    receive_report,
)

_generations = count(1)


class ProcessDied(Exception):
    """The process ended: it crashed, was killed, or ran out of memory."""


class ModelProcess:
    """One process with one model in it."""

    def __init__(self, fork_server: ForkServer, spec: ModelSpec) -> None:
        """Have it forked, and load the model; returns at once.

        Raises:
            OSError: the operating system cannot start a process.
        """
        self.generation = next(_generations)
        self.loaded = False
        self.load_s = 0.0
        self.memory = Memory()
        """What it used once the model was loaded."""
        self.facts = ModelFacts()
        """Known once it is loaded."""
        self.wear = WearMonitor(spec.engine)
        self.heard_at = self._started_at = time.monotonic()
        self._child = fork_server.start(f"{MODEL_PROCESS}:main")
        self.pipe = self._child.pipe
        self._outbox = Outbox(self.pipe)

    @property
    def pid(self) -> int:
        """Process id; 0: it is not forked yet."""
        return self._child.pid

    def hold(self, job: EngineJob) -> None:
        """Send a job's prepared images, unless this process has them already."""
        for held, images in self._new([job]):
            self._outbox.put(held, images)

    def run(self, jobs: Sequence[EngineJob], max_images: int) -> None:
        """Have the process run a batch, about which it reports once.

        Args:
            jobs: the jobs, prepared, and alike as the family needs it.
            max_images: most images that the model gets at once.
        """
        new = self._new(jobs)
        run = Run(
            new=tuple(hold for hold, _ in new),
            jobs=tuple(job.key for job in jobs),
            instructions=tuple(job.instructions for job in jobs),
            max_images=max_images,
        )
        self._outbox.put(run, [image for _, images in new for image in images])

    def _new(self, jobs: Sequence[EngineJob]) -> list[tuple[Hold, list[bytes]]]:
        """Return what the process lacks of some jobs, which it is to get now."""
        new = []
        for job in jobs:
            if job.generation != self.generation:
                job.generation = self.generation
                images = job.inputs().images
                sizes = tuple((image.width, image.height) for image in images)
                hold = Hold(job=job.key, sizes=sizes, wholes=tuple(x.whole for x in images))
                new.append((hold, [image.content for image in images]))
        return new

    def forget(self, job: EngineJob) -> None:
        """Have the process drop the images of a job."""
        if job.generation == self.generation:
            self._outbox.put(Forget(job=job.key))

    def receive(self) -> StateReport | BatchReport:
        """Return the next report; call when ``pipe`` is ready.

        Raises:
            ProcessDied: the process has ended.
        """
        self.heard_at = time.monotonic()
        try:
            report = receive_report(self.pipe)
        except (EOFError, OSError) as err:
            self._child.join(JOIN_S)  # the pipe closes before the end is reported
            raise ProcessDied(_describe(self._child.exit_code)) from err
        if isinstance(report, StateReport) and report.state == WorkerState.READY:
            self.loaded, self.load_s = True, self.heard_at - self._started_at
            self.memory, self.facts = report.memory, report.facts
        return report

    def kill(self) -> None:
        """End the process now and wait for its end."""
        self._outbox.close()
        self._child.kill()


def _describe(exit_code: int | None) -> str:
    return "its fork server ended" if exit_code is None else f"exit code {exit_code}"
