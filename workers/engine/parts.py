"""Divides a job of several images, so that each is tried by itself; their answers become one.

Only for models that answer for each image by itself: ``PerImageModel`` in ``workers.model.family``.
"""

from concurrent.futures import Future
from functools import partial

import structlog

from shared.errors import ModelUnavailable, VisionError
from shared.messages import Outcome, Result
from shared.tasks.registry import find_task
from workers.engine.job import EngineJob

log = structlog.get_logger(__name__)


def divide(job: EngineJob) -> list[EngineJob]:
    """Return a job for each image of ``job``, or ``job`` itself if it has no more than one.

    The parts resolve the future of ``job``. One that fails is left out, as an image that cannot be
    read is; if all fail, so does the job.
    """
    if len(job.images) <= 1:
        return [job]
    log.info("job divided", request_id=job.message.request_id, images=len(job.images))
    whole = _Whole(job)
    parts = []
    for position, image in enumerate(job.images):
        part = EngineJob(
            job.task_id,
            job.message,
            [image],
            accepted_at=job.accepted_at,
            part=f"/{position}",
            has_hung=job.has_hung,
        )
        part.preparation, part.prepared = job.preparation, job.prepared[position : position + 1]
        part.future.add_done_callback(partial(whole.part_done, position))
        parts.append(part)
    return parts


class _Whole:
    """The job that was divided, and what became of its parts."""

    def __init__(self, job: EngineJob) -> None:
        self._job = job
        self._results: dict[int, Result] = {}
        self._faults: dict[int, VisionError] = {}

    def part_done(self, position: int, part: "Future[Outcome]") -> None:
        """Note what became of a part; the last one decides what becomes of the job."""
        future, error = self._job.future, part.exception()
        if future.done():
            return
        if error is None:
            self._results[position] = part.result().result
        elif isinstance(error, VisionError) and not isinstance(error, ModelUnavailable):
            self._faults[position] = error
        else:  # the same for all parts: requeued, dropped, or no model
            future.set_exception(error)
            return
        if len(self._results) + len(self._faults) == len(self._job.images):
            self._end(future)

    def _end(self, future: "Future[Outcome]") -> None:
        if not self._results:
            self._job.refuse(self._faults[min(self._faults)])
            return
        answers = [self._results[position] for position in sorted(self._results)]
        combined = {
            task: find_task(task).combine_payloads([answer.get(task) for answer in answers])
            for task in self._job.instructions.tasks
        }
        result = Result({task: value for task, value in combined.items() if value is not None})
        reasons = {position: fault.message for position, fault in self._faults.items()}
        future.set_result(Outcome(result.with_unreadable(reasons)))
