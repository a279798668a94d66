"""Which jobs form the next batch."""

from typing import Any

import pytest

from shared.messages import Instructions
from shared.options import Options
from shared.tasks import CAPTION
from tests.engines import item
from workers.engine.batching import BatchQueue
from workers.engine.job import EngineJob
from workers.preparing.pixels import whole

PREPARATION = whole()


def take(waiting: BatchQueue, images: int) -> list[EngineJob]:
    if batch := waiting.next_batch(images):
        waiting.take(batch)
    return batch


def suspect(red: int) -> EngineJob:
    job = item(red)
    job.suspect = True
    return job


def test_suspects_run_alone_and_take_turns_with_batches_of_others() -> None:
    waiting = BatchQueue()
    suspects, others = [suspect(red) for red in range(3)], [item(red) for red in range(5)]
    for job in (*suspects, *others):
        waiting.add(job)
    batches = [take(waiting, 2) for _ in range(6)]
    assert batches == [
        others[:2],
        suspects[:1],
        others[2:4],
        suspects[1:2],
        others[4:],
        suspects[2:],
    ]
    assert take(waiting, 2) == []


def test_a_batch_has_as_many_images_as_it_may_and_no_job_is_divided() -> None:
    waiting = BatchQueue()
    three, larger = [item(1, 2, 3) for _ in range(3)], item(*range(9))
    for job in (*three, larger):
        waiting.add(job)
    assert [take(waiting, 8) for _ in range(3)] == [three[:2], three[2:], [larger]]


def test_nobody_waits_for_a_job_whose_time_is_over() -> None:
    waiting = BatchQueue()
    late, cancelled, other = item(1, deadline_s=-1), item(2), item(3)
    for job in (late, cancelled, other):
        waiting.add(job)
    assert waiting.drop_unwanted([cancelled.task_id]) == [late, cancelled]
    assert take(waiting, 8) == [other]


def test_after_a_death_others_are_first() -> None:
    waiting = BatchQueue()
    had, came = item(1), item(2)
    waiting.add(item(0))
    assert take(waiting, 1)
    waiting.put_back([had])
    waiting.add(came)
    waiting.mark_suspects([had])
    assert [take(waiting, 8) for _ in range(2)] == [[came], [had]]


def test_a_job_that_a_batch_has_waited_for_is_passed_over_until_it_is_prepared() -> None:
    waiting = BatchQueue()
    late, other = item(1), item(2)
    late.is_late = True
    waiting.add(late)
    waiting.add(other)
    assert take(waiting, 8) == [other]
    assert take(waiting, 8) == []
    late.preparation = PREPARATION
    late.prepared = []
    assert take(waiting, 8) == [late]


def asking(prompt: str, **instructions: Any) -> EngineJob:
    job = item(1)
    job.instructions = Instructions(tasks=(CAPTION,), prompt=prompt, **instructions)
    return job


def test_prompts_are_mixed_only_where_the_family_can() -> None:
    jobs = [asking("colour?"), asking("shape?", system="short"), asking("colour?")]
    apart, mixed = BatchQueue(), BatchQueue(mixes_prompts=True)
    for job in jobs:
        apart.add(job)
        mixed.add(job)
    assert take(apart, 8) == [jobs[0], jobs[2]]
    assert take(mixed, 8) == jobs


@pytest.mark.parametrize(
    "other",
    [
        asking("?", options=Options(temperature=1.0)),
        asking("?", options=Options(num_predict=3)),
        asking("?", think=True),
    ],
    ids=["sampling", "length", "thinking"],
)
def test_what_holds_for_a_whole_batch_is_never_mixed(other: EngineJob) -> None:
    waiting, first = BatchQueue(mixes_prompts=True), asking("?")
    waiting.add(first)
    waiting.add(other)
    assert take(waiting, 8) == [first]
