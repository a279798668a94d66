"""How batches are formed of the jobs that wait for the model.

Pure bookkeeping, no process in sight.
"""

from collections.abc import Callable, Collection, Iterable, Sequence

from shared.messages import Instructions
from shared.vocabulary import Priority
from workers.engine.job import EngineJob, drop
from workers.turns import Turns


class BatchQueue:
    """Waiting jobs: first come, first served, but batched with others of like instructions.

    These are equal, but for their wording if the family mixes prompts.

    Persons come before bulk work, which gets what places they leave, and at least one in ten.

    Suspects are run alone, and take turns with batches of all other jobs: others wait for one
    suspect at most between two of their batches, and no suspect waits for ever.
    """

    def __init__(self, *, mixes_prompts: bool = False) -> None:
        """Begin empty.

        Args:
            mixes_prompts: whether jobs with different prompts can be in one batch.
        """
        self._mixes_prompts = mixes_prompts
        self._jobs: list[EngineJob] = []
        self._turns = Turns()
        self._suspect_is_next = False

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, job: EngineJob) -> None:
        """Append a job."""
        self._jobs.append(job)

    def put_back(self, jobs: Iterable[EngineJob]) -> None:
        """Put the jobs of a batch that failed back in front."""
        self._jobs[:0] = jobs

    def take_all(self) -> list[EngineJob]:
        """Remove and return all jobs."""
        jobs, self._jobs = self._jobs, []
        return jobs

    def next_jobs(self, images: int) -> list[EngineJob]:
        """Return the jobs that will probably be run next: about ``images``, at least one job."""
        return _fill(self._in_turn(), images)

    def next_instructions(self) -> Instructions | None:
        """Return the instructions of the next batch, unless that is a suspect; ``None``: none."""
        return next((job.instructions for job in self._candidates() if not job.suspect), None)

    def next_batch(self, images: int) -> list[EngineJob]:
        """Return a batch: the first job and others of like instructions, in order.

        It has whatever has come while the model was busy, up to ``images``, but none that a batch
        has waited for and that is still not prepared. A job is never split between batches, so a
        batch of one job may have more. Every second batch is a suspect, if there is one.
        """
        jobs = self._candidates()
        suspects = [job for job in jobs if job.suspect]
        others = [job for job in jobs if not job.suspect]
        if suspects and (self._suspect_is_next or not others):
            return suspects[:1]
        asked = self._asked(others[0]) if others else None
        alike = [job for job in others if self._asked(job) == asked]
        return alike[:1] if alike and alike[0].instructions.is_seeded else _fill(alike, images)

    def _asked(self, job: EngineJob) -> Instructions:
        """Return what has to be equal in a batch."""
        return job.unworded if self._mixes_prompts else job.instructions

    def _candidates(self) -> list[EngineJob]:
        return [job for job in self._in_turn() if job.is_prepared or not job.is_late]

    def _in_turn(self) -> list[EngineJob]:
        persons = [job for job in self._jobs if job.message.priority is Priority.PERSON]
        if len(persons) == len(self._jobs):
            return persons
        bulk = [job for job in self._jobs if job.message.priority is Priority.BULK]
        return self._turns.in_turn(persons, bulk)

    def take(self, batch: Sequence[EngineJob]) -> None:
        """Remove the jobs of a batch that begins."""
        self._suspect_is_next = not batch[0].suspect
        self._remove(batch)
        self._turns.taken(
            [job.message.priority for job in batch], {job.message.priority for job in self._jobs}
        )

    def take_unreadable(self) -> list[EngineJob]:
        """Remove and return the jobs that are known to have no readable image."""
        unreadable = [job for job in self._jobs if job.is_prepared and job.fault]
        self._remove(unreadable)
        return unreadable

    def take_same(self, job: EngineJob) -> list[EngineJob]:
        """Remove and return the jobs that have all images of ``job``, which is not in the queue."""
        alike = self.jobs_with(job)
        self._remove(alike)
        return alike

    def jobs_with(self, job: EngineJob) -> list[EngineJob]:
        """Return the jobs that have all images of ``job``, which is not in the queue."""
        return [other for other in self._jobs if other.has_images(job.digests)]

    def replace(
        self, jobs: Iterable[EngineJob], by: Callable[[EngineJob], list[EngineJob]]
    ) -> list[EngineJob]:
        """Put others in the places of some jobs, and return the others."""
        others = {job: by(job) for job in jobs}
        self._jobs = [other for job in self._jobs for other in others.get(job, [job])]
        return [other for each in others.values() for other in each]

    def mark_suspects(self, jobs: Iterable[EngineJob]) -> None:
        """Mark the jobs that may have ended a process.

        The next process has the turn of all others first: they have waited for it to load.
        """
        self._suspect_is_next = False
        for job in jobs:
            job.suspect = True

    def task_ids(self) -> list[str]:
        """Return the task ids of the waiting jobs; any thread may ask."""
        return [job.task_id for job in tuple(self._jobs)]

    def drop_unwanted(self, cancelled: Collection[str] = ()) -> list[EngineJob]:
        """Remove and return the jobs that nobody waits for; their futures raise ``Dropped``.

        Args:
            cancelled: task ids that are cancelled. Those whose deadline has passed need no mention.
        """
        unwanted = [job for job in self._jobs if job.is_unwanted or job.task_id in cancelled]
        self._remove(unwanted)
        drop(unwanted)
        return unwanted

    def _remove(self, jobs: Iterable[EngineJob]) -> None:
        if gone := set(jobs):
            self._jobs = [job for job in self._jobs if job not in gone]


def _fill(jobs: Sequence[EngineJob], images: int) -> list[EngineJob]:
    """Return the first job and as many that follow as fit into ``images``."""
    chosen: list[EngineJob] = []
    count = 0
    for job in jobs:
        count += max(1, len(job.images))
        if chosen and count > images:
            break
        chosen.append(job)
    return chosen
