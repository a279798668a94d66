"""What becomes of jobs when their model process fails, and when it is tried again.

Failures in a row may be the fault of the model, or of several clients' images. So a probe decides:
a job of the worker's own, with a harmless picture. Only if that fails too, jobs are refused.
"""

import io
import math

import structlog
from PIL import Image

from shared.errors import ModelFailed, ModelUnavailable, VisionError
from shared.messages import Job
from shared.model_spec import ModelSpec
from shared.vocabulary import WorkerState
from workers.engine.batching import BatchQueue
from workers.engine.faults import FailureBackoff, Quarantine
from workers.engine.job import EngineJob, requeue
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
    ) -> None:
        """Work on the loop's own parts, in its thread."""
        self._spec, self._queue, self._supervisor = spec, queue, supervisor
        self._tracker, self._backoff = tracker, backoff
        self._quarantine = Quarantine(spec.engine.quarantine_s)
        self._probe_due = False

    def refusal(self, job: EngineJob) -> VisionError | None:
        """Return why a new job is refused; ``None``: it is not."""
        if job in self._quarantine:
            return self._quarantined()
        return self._unavailable() if self._tracker.state == WorkerState.FAILED else None

    def take_probe(self) -> list[EngineJob]:
        """Return a probe as a batch, once, if one is due; else no job."""
        due, self._probe_due = self._probe_due, False
        return [make_probe(self._spec)] if due else []

    def out_of_memory(self, batch: list[EngineJob], images: int, *, draining: bool) -> None:
        """Make batches smaller for good; when that is not enough, replace the process.

        A job that does not fit alone into a fresh process is refused. All others are run again, or
        requeued while ``draining``.
        """
        again, alone = self._backoff.record_out_of_memory(), len(batch) == 1
        if not alone:  # one image that is too large must not make all batches small
            self._tracker.max_batch = max(1, min(self._tracker.max_batch, images) // 2)
        log.warning(
            "out of memory",
            images=images,
            max_batch=self._tracker.max_batch,
            requests=_requests(batch),
        )
        if alone and batch[0].suspect and not batch[0].is_probe:
            batch[0].refuse(
                ModelFailed(f"{self._spec.name} has not enough memory for this request.")
            )
            return
        if draining:
            requeue(batch)
            return
        for job in batch:
            job.generation = 0  # the process has let go of its images
            job.suspect = alone
        self._put_back(batch)
        if again or alone:
            self._supervisor.restart(RestartReason.OUT_OF_MEMORY)
            self._doubt_model(batch, "Memory ran out")

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
        if len(batch) == 1 and batch[0].suspect and not batch[0].is_probe:
            self._quarantine.add(batch[0])
            for job in (*batch, *self._queue.take_same(batch[0])):
                job.refuse(self._quarantined())
        else:
            self._put_back(batch)
        # Whatever it had may have crashed it, prepared or running; all else the running batch did.
        crashed = reason == RestartReason.CRASH
        self._queue.mark_suspects(self._queue.had_by(process.generation) if crashed else batch)
        if draining:
            requeue(self._queue.take_all())
            return
        self._tracker.set_state(WorkerState.LOADING, f"replaced after a {reason}")
        self._doubt_model(batch, "The model process died", f": {details}")

    def give_up(self, reason: str, at_least_s: float = 0.0) -> None:
        """Refuse jobs with the reason, and try again after a pause that grows."""
        pause_s = self._backoff.begin_pause(at_least_s)
        log.warning("model failed", reason=reason, retry_in_s=pause_s)
        self._tracker.set_state(WorkerState.FAILED, reason)
        for job in self._queue.take_all():
            job.refuse(self._unavailable())

    def _put_back(self, batch: list[EngineJob]) -> None:
        self._queue.put_back(job for job in batch if not job.is_probe)

    def _doubt_model(self, batch: list[EngineJob], what: str, details: str = "") -> None:
        """Count a failure; give up if it shows that the model is broken, or have a probe decide.

        Args:
            batch: the jobs that ran.
            what: what happened, as the beginning of a sentence.
            details: end of the sentence.
        """
        doubtful = self._backoff.record_failure()
        probed = bool(batch) and batch[0].is_probe
        broken = probed or self._backoff.exhausted
        if probed:  # what died in a broken model is not proven to be deadly
            self._quarantine.clear()
        if broken:
            last = ", the last time on a test picture" if probed else ""
            self.give_up(f"{what} {self._backoff.failures} times in a row{last}{details}")
        if broken or doubtful:  # after a pause too: before a client's image is blamed again
            self._probe_due = True

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
