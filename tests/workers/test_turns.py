"""Persons before bulk work, which goes on all the same."""

from collections.abc import Sequence

from shared.vocabulary import Priority
from tests.engines import item
from workers.engine.batching import BatchQueue
from workers.engine.job import EngineJob
from workers.turns import MOST_OWED, PERSONS_PER_BULK, Line

PERSON, BULK = Priority.PERSON, Priority.BULK


def jobs(count: int, priority: Priority, prompt: str = "") -> list[EngineJob]:
    return [item(1, priority=priority, prompt=prompt) for _ in range(count)]


def queue_of(*waiting: EngineJob) -> BatchQueue:
    queue = BatchQueue()
    for job in waiting:
        queue.add(job)
    return queue


def take(queue: BatchQueue, images: int) -> list[EngineJob]:
    batch = queue.next_batch(images)
    queue.take(batch)
    return batch


def bulk_in(batches: Sequence[Sequence[EngineJob]]) -> int:
    return sum(job.message.priority is BULK for batch in batches for job in batch)


def test_persons_that_came_last_are_in_the_next_batch_and_bulk_work_fills_it() -> None:
    bulk, persons = jobs(20, BULK), jobs(3, PERSON)
    queue = queue_of(*bulk, *persons)
    assert queue.next_jobs(8) == [*persons, *bulk[:5]]
    assert take(queue, 8) == [*persons, *bulk[:5]]
    assert take(queue, 8) == bulk[5:13]


def test_while_persons_keep_coming_bulk_work_gets_one_place_in_ten() -> None:
    for size in (1, 4, 32):
        queue = queue_of(*jobs(100, BULK))
        batches = []
        for _ in range(400 // size):
            for job in jobs(size, PERSON):
                queue.add(job)
            batches.append(take(queue, size))
        share = bulk_in(batches) / 400
        assert abs(share - 1 / (PERSONS_PER_BULK + 1)) < 0.02


def test_bulk_work_of_another_kind_has_whole_batches_so_much_less_often() -> None:
    queue = queue_of(*jobs(400, BULK, "other"))
    batches = []
    for _ in range(200):
        for job in jobs(8, PERSON):
            queue.add(job)
        batches.append(take(queue, 8))
    assert {bulk_in([batch]) for batch in batches} == {0, 8}
    assert abs(bulk_in(batches) / (200 * 8) - 1 / (PERSONS_PER_BULK + 1)) < 0.02


def test_bulk_work_that_ran_while_nobody_waited_is_not_held_against_it() -> None:
    queue = queue_of(*jobs(100, BULK))
    for _ in range(10):
        take(queue, 8)
    for job in jobs(PERSONS_PER_BULK + 1, PERSON):
        queue.add(job)
    batches = [take(queue, 1) for _ in range(PERSONS_PER_BULK + 1)]
    assert [bulk_in([batch]) for batch in batches] == [*[0] * PERSONS_PER_BULK, 1]


def test_bulk_work_that_comes_one_at_a_time_gets_no_more_than_its_share() -> None:
    """It had a whole batch before persons; that none waits for a moment makes up for nothing."""
    queue, batches = queue_of(), []
    for _ in range(400):
        for job in (*jobs(4, PERSON), *jobs(4 if not bulk_waits(queue) else 0, BULK, "other")):
            queue.add(job)
        batches.append(take(queue, 4))
    share = bulk_in(batches) / (400 * 4)
    assert abs(share - 1 / (PERSONS_PER_BULK + 1)) < 0.02


def bulk_waits(queue: BatchQueue) -> bool:
    return any(job.message.priority is BULK for job in queue.next_jobs(10_000))


def test_persons_that_came_while_no_bulk_work_waited_owe_it_nothing() -> None:
    queue = queue_of(*jobs(100, PERSON))
    for _ in range(10):
        take(queue, 8)
    for job in jobs(4, BULK):
        queue.add(job)
    assert bulk_in([take(queue, 8)]) == 0


def test_bulk_work_that_could_not_be_run_does_not_save_up_more_than_some_places() -> None:
    bulk = jobs(100, BULK)
    queue = queue_of(*bulk)
    for job in bulk:
        job.is_late = True  # its images take long to prepare
    for _ in range(40):
        for job in jobs(8, PERSON):
            queue.add(job)
        take(queue, 8)
    for job in bulk:
        job.is_late = False
    for job in jobs(32, PERSON):
        queue.add(job)
    assert bulk_in([take(queue, 32)]) == MOST_OWED


def test_a_failed_batch_is_run_again_before_others_but_not_before_persons() -> None:
    failed, waiting, persons = jobs(2, BULK), jobs(2, BULK), jobs(1, PERSON)
    queue = queue_of(*waiting)
    queue.put_back(failed)
    for job in persons:
        queue.add(job)
    assert queue.next_jobs(8) == [*persons, *failed, *waiting]


def test_a_line_gives_bulk_work_one_place_in_ten() -> None:
    line: Line[Priority] = Line()
    for priority in [*[BULK] * 3, *[PERSON] * 2 * (PERSONS_PER_BULK + 1)]:
        line.append(priority, priority)
    order = [line.popleft() for _ in range(len(line))]
    assert [place for place, who in enumerate(order) if who is BULK] == [
        PERSONS_PER_BULK,
        2 * PERSONS_PER_BULK + 1,
        2 * PERSONS_PER_BULK + 4,
    ]
