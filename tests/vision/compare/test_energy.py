"""Joules of a trial, from what workers told before and after it."""

import pytest

from tests.vision.compare.standings import captions, figures
from vision.compare.report.tables import NOTHING, ROWS
from vision.compare.trial import energy_between
from vision.schemas import Worker


def worker(name: str, joules: float, card: str = "GPU-1") -> Worker:
    return Worker(worker=name, state="ready", card=card, card_energy_j=joules)


def test_the_joules_of_two_gpus_add_up() -> None:
    before = [worker("a", 100), worker("b", 7000, "GPU-2")]
    after = [worker("a", 150), worker("b", 7030, "GPU-2")]
    assert energy_between(before, after) == 80


def test_a_gpu_that_two_workers_share_counts_once_by_who_read_it_last() -> None:
    before = [worker("a", 100), worker("b", 104)]
    after = [worker("a", 190), worker("b", 150)]
    assert energy_between(before, after) == 86


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], []),
        ([worker("a", 100)], [worker("b", 150)]),
        ([worker("a", 100), worker("b", 0, "")], [worker("a", 150), worker("b", 0, "")]),
        ([worker("a", 100)], [worker("a", 50)]),
    ],
    ids=["no worker", "another worker", "one on a CPU", "counter begun anew"],
)
def test_energy_that_is_not_known_of_all_is_not_told(
    before: list[Worker], after: list[Worker]
) -> None:
    assert energy_between(before, after) is None


@pytest.mark.parametrize(("joules", "cell"), [(7200.0, "20 Wh"), (None, NOTHING)])
def test_the_report_tells_watt_hours_for_a_thousand_photos(joules: float | None, cell: str) -> None:
    (row,) = [row for row in ROWS if row.title == "Energy"]
    (one,) = figures(captions("a", "a cat", photos=100, seconds=10.0, energy_j=joules))
    assert row.cell(one) == cell
