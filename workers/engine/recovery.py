"""What becomes of jobs when their model process fails, and when it is tried again.

Failures in a row may be the fault of the model, or of several clients' images. So a probe decides:
a job of the worker's own, with a harmless picture. Only if that fails too, jobs are refused.
"""

import io
import math
from collections.abc import Iterable

import structlog
from PIL import Image

from shared.errors import ModelFailed, ModelUnavailable, VisionError
from shared.messages import Job
from shared.model_spec import ModelSpec
from shared.vocabulary import WorkerState
from workers.engine.batching import BatchQueue
from workers.engine.climbing import SizeCause
from workers.engine.faults import FailureBackoff, Quarantine
from workers.engine.job import EngineJob, drop, requeue
from workers.engine.parts import divide
from workers.engine.sizing import BatchSizer
from workers.engine.status import StatusTracker
from workers.engine.supervisor import ProcessSupervisor
from workers.engine.wear import RestartReason

PROBE_SIDE_PX = 224
"""Side of the square picture of a probe; what the classifiers take, and most models accept."""

log = structlog.get_logger(__name__)


class Recovery:
    """Restarts processes, convicts suspects, and refuses what cannot be answered."""

    def __init__(
        self,
        spec: ModelSpec,
        queue: BatchQueue,
        supervisor: ProcessSupervisor,
        tracker: StatusTracker,
        backoff: FailureBackoff,
        sizer: BatchSizer,
    ) -> None:
        """Work on the loop's own parts, in its thread."""
        self._spec, self._queue, self._supervisor = spec, queue, supervisor
        self._tracker, self._backoff, self._sizer = tracker, backoff, sizer
        self._quarantine = Quarantine(spec.engine.quarantine_s)
        self.probe: EngineJob | None = None
        """The job that is next, all by itself; ``None``: those of clients are."""

    def admit(self, job: EngineJob) -> list[EngineJob]:
        """Return what is to be run of a new job; the rest is refused."""
        if self._tracker.state == WorkerState.FAILED:
            job.refuse(self._unavailable())
            return []
        if job not in self._quarantine:
            return [job]
        parts = self._divide(job)
        for part in parts:
            if part in self._quarantine:
                part.refuse(self._quarantined())
        return [part for part in parts if not part.future.done()]

    def take_probe(self) -> list[EngineJob] | None:
        """Return a probe as a batch; no job while it is not prepared; ``None``: none is due."""
        probe = self.probe
        if not probe or not probe.is_prepared:
            return [] if probe else None
        self.probe = None
        return [] if probe.fault else [probe]

    def out_of_memory(self, batch: list[EngineJob], images: int, *, draining: bool) -> None:
        """Make batches smaller; when they cannot be, replace the process.

        An image that does not fit alone into a fresh process is refused. All others are run again,
        or requeued while ``draining``.

        Args:
            batch: the jobs.
            images: how many images the model got.
            draining: whether nothing more is run.
        """
        log.warning("out of memory", images=images, requests=_requests(batch))
        alone = len(batch) == 1
        divisible = not alone or self._supervisor.facts.per_image
        smaller = divisible and self._sizer.shrink(images, SizeCause.MEMORY)
        if not smaller and alone and batch[0].has_not_fit:
            batch[0].refuse(
                ModelFailed(f"{self._spec.name} does not have enough memory for this request.")
            )
            return
        if draining:
            requeue(batch)
            return
        for job in batch:
            job.generation = 0  # the process has let go of its images
        if smaller:
            self._put_back(batch)
            return
        parts = [part for job in batch for part in self._divide(job)]
        for job in parts:
            job.suspect = True
        self._put_back(parts)
        if alone and len(parts) == 1:
            parts[0].has_not_fit = True
            self._supervisor.restart(RestartReason.OUT_OF_MEMORY)
            self._doubt_model(batch, "Memory ran out", died=False)

    def process_lost(
        self, batch: list[EngineJob], reason: RestartReason, details: str, *, draining: bool
    ) -> None:
        """Replace a process that crashed, hung or broke, and find out which job did it.

        Its jobs are run again, each alone, or requeued while ``draining``.
        """
        process = self._supervisor.ready
        assert process  # noqa: S101 - only a process that has loaded the model is lost
        log.warning(
            "model process lost",
            reason=reason,
            details=details,
            pid=process.pid,
            requests=_requests(batch),
        )
        self._supervisor.discard(reason, details)
        suspects: list[EngineJob] = []
        if len(batch) == 1 and batch[0].suspect and not batch[0].is_probe:
            self._convict(batch[0])
        elif reason == RestartReason.HANG and self._is_perhaps_slow(batch):
            self._put_back(part for job in batch for part in self._divide(job))
        else:
            self._put_back(batch)
            # Copies of them too, or they would take others along one after the other.
            copies = (copy for job in batch for copy in self._queue.jobs_with(job))
            suspects = list(dict.fromkeys((*batch, *copies)))
        self._queue.mark_suspects(self._queue.replace(suspects, self._divide))
        if draining:
            requeue(self._queue.take_all())
            return
        self._tracker.set_state(WorkerState.LOADING, f"replaced after a {reason}")
        self._doubt_model(batch, "The model process died", f": {details}")

    def _convict(self, job: EngineJob) -> None:
        """Refuse a job that ended a process alone, and whatever has the same images."""
        self._quarantine.add(job)
        if self._supervisor.facts.per_image:  # only these images of larger jobs
            self._queue.replace(self._queue.jobs_with(job), self._divide)
        for guilty in (job, *self._queue.take_same(job)):
            guilty.refuse(self._quarantined())

    def _is_perhaps_slow(self, batch: list[EngineJob]) -> bool:
        """Make batches smaller after the first hang of these jobs; return whether that is done."""
        images = sum(max(1, len(job.images)) for job in batch)
        divisible = len(batch) > 1 or self._supervisor.facts.per_image
        if not divisible or any(job.has_hung for job in batch):
            return False
        for job in batch:
            job.has_hung = True
        return self._sizer.shrink(images, SizeCause.TOO_SLOW)

    def _divide(self, job: EngineJob) -> list[EngineJob]:
        return divide(job) if self._supervisor.facts.per_image else [job]

    def cut_unwanted(self, batch: list[EngineJob], ran_s: float) -> bool:
        """End a running batch that nobody waits for, once it has run for as long as a load takes.

        It may end in a moment or go on for minutes. Nobody knows, so a replacement is worth its
        price once that has been paid in vain: then never more than twice the least is paid.

        Args:
            batch: its jobs.
            ran_s: for how many seconds it has run.

        Returns:
            Whether it was ended.
        """
        process = self._supervisor.ready
        if not process or not batch or not all(job.is_unwanted for job in batch):
            return False
        if ran_s <= process.load_s:
            return False
        log.warning("batch cut, as nobody waits for it", requests=_requests(batch))
        drop(batch)
        self._supervisor.restart(RestartReason.CANCELLED)
        return True

    def give_up(self, reason: str, at_least_s: float = 0.0) -> None:
        """Refuse jobs with the reason, and try again after a pause that grows."""
        pause_s = self._backoff.begin_pause(at_least_s)
        log.warning("model failed", reason=reason, retry_in_s=pause_s)
        self._tracker.set_state(WorkerState.FAILED, reason)
        for job in self._queue.take_all():
            job.refuse(self._unavailable())

    def _put_back(self, batch: Iterable[EngineJob]) -> None:
        self._queue.put_back(job for job in batch if not job.is_probe)

    def _doubt_model(
        self, batch: list[EngineJob], what: str, details: str = "", *, died: bool = True
    ) -> None:
        """Count a failure; give up if it shows that the model is broken, or have a probe decide.

        Args:
            batch: the jobs that ran.
            what: what happened, as the beginning of a sentence.
            details: end of the sentence.
            died: whether the process died; it is only replaced where memory ran out.
        """
        doubtful = self._backoff.record_failure(died=died)
        probed = bool(batch) and batch[0].is_probe
        broken = probed or self._backoff.exhausted
        if probed:  # what died in a broken model is not proven to be deadly
            self._quarantine.clear()
        if broken:
            last = ", the last time on a test picture" if probed else ""
            self.give_up(f"{what} {self._backoff.failures} times in a row{last}{details}")
        if broken or doubtful:  # after a pause too: before a client's image is blamed again
            self.probe = make_probe(self._spec)

    def _quarantined(self) -> VisionError:
        return ModelFailed(
            f"{self._spec.name} crashed or hung on this image alone; it is refused for a while."
        )

    def _unavailable(self) -> VisionError:
        return ModelUnavailable(f"{self._spec.name}: {self._tracker.status.reason}")


def make_probe(spec: ModelSpec) -> EngineJob:
    """Return a job for all tasks of a model, on a harmless picture."""
    picture = io.BytesIO()
    Image.new("RGB", (PROBE_SIDE_PX, PROBE_SIDE_PX), "grey").save(picture, "JPEG")
    message = Job(request_id="probe", tasks=spec.tasks, images=("probe",), deadline=math.inf)
    return EngineJob("probe", message, [picture.getvalue()], suspect=True, is_probe=True)


def _requests(batch: list[EngineJob]) -> list[str]:
    return [job.message.request_id for job in batch]
