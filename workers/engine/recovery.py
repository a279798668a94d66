"""What becomes of jobs when their model process fails, and when it is tried again."""

import structlog

from shared.errors import ModelFailed, ModelUnavailable, VisionError
from shared.model_spec import ModelSpec
from shared.vocabulary import WorkerState
from workers.engine.batching import BatchQueue
from workers.engine.faults import FailureBackoff, Quarantine
from workers.engine.job import EngineJob, requeue
from workers.engine.status import StatusTracker
from workers.engine.supervisor import ProcessSupervisor
from workers.engine.wear import RestartReason

log = structlog.get_logger(__name__)


class Recovery:
    """Restarts processes, runs suspects alone, and refuses what cannot be answered."""

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

    def refusal(self, job: EngineJob) -> VisionError | None:
        """Return why a new job is refused; ``None``: it is not."""
        if job.digest in self._quarantine:
            return self._quarantined()
        return self._unavailable() if self._tracker.state == WorkerState.FAILED else None

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
        if alone and batch[0].suspect:
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
        self._queue.put_back(batch)
        if again or alone:
            self._supervisor.restart(RestartReason.OUT_OF_MEMORY)
            if self._backoff.record_failure():
                self.give_up(f"Memory ran out {self._backoff.failures} times in a row.")

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
        too_many = self._backoff.record_failure()
        if len(batch) == 1 and batch[0].suspect:
            self._quarantine.add(batch[0].digest)
            for job in (*batch, *self._queue.take_same(batch[0].digest)):
                job.refuse(self._quarantined())
        else:
            self._queue.put_back(batch)
        # Whatever it had may have ended it, prepared or running: each is run alone now.
        self._queue.mark_suspects(process.generation)
        if draining:
            requeue(self._queue.take_all())
        elif too_many:
            deaths = self._backoff.failures
            self.give_up(f"The model process died {deaths} times in a row: {details}")
        else:
            self._tracker.set_state(WorkerState.LOADING, f"replaced after a {reason}")

    def give_up(self, reason: str, at_least_s: float = 0.0) -> None:
        """Refuse jobs with the reason, and try again after a pause that grows."""
        pause_s = self._backoff.begin_pause(at_least_s)
        log.warning("model failed", reason=reason, retry_in_s=pause_s)
        self._tracker.set_state(WorkerState.FAILED, reason)
        for job in self._queue.take_all():
            job.refuse(self._unavailable())

    def _quarantined(self) -> VisionError:
        return ModelFailed(
            f"{self._spec.name} crashed or hung on this image alone; it is refused for a while."
        )

    def _unavailable(self) -> VisionError:
        return ModelUnavailable(f"{self._spec.name}: {self._tracker.status.reason}")


def _requests(batch: list[EngineJob]) -> list[str]:
    return [job.message.request_id for job in batch]
