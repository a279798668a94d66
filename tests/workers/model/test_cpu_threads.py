"""How many threads a small model gets."""

import os
from pathlib import Path

import pytest

from shared.model_spec import ModelSpec
from workers.model.cpu_threads import usable_cores
from workers.model.family import LoadContext

SPEC = ModelSpec.model_validate({"name": "m", "family": "fake"})


@pytest.mark.parametrize(
    ("limit", "cores"),
    [("max 100000", 8), ("200000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8)],
)
def test_a_containers_limit_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, cores: int
) -> None:
    (tmp_path / "cpu.max").write_text(limit)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert usable_cores(tmp_path) == cores


def test_without_a_limit_all_cores_count_that_the_process_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 7})
    assert usable_cores(tmp_path) == 3


@pytest.mark.parametrize(("asked", "threads"), [(0, 4), (1, 1), (6, 6)])
def test_a_small_model_gets_its_share_unless_a_number_is_set(asked: int, threads: int) -> None:
    context = LoadContext(SPEC, None, "cpu", asked, share_of_cores=4)
    assert context.small_model_threads == threads
