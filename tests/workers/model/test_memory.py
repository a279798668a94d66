"""Free memory in a container is bounded by its own limit."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from shared.units import MEGA
from workers.model import memory
from workers.model.memory import container_memory, measure


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def test_free_memory_is_limit_less_usage_plus_inactive_file_cache(tmp_path: Path) -> None:
    write(
        tmp_path,
        memory__max=f"{900 * MEGA}\n",
        memory__current=f"{500 * MEGA}\n",
        memory__stat=f"anon 7\ninactive_file {100 * MEGA}\n",
    )
    assert container_memory(tmp_path) == (900 * MEGA, 500 * MEGA)


def test_cgroup_v1_is_read_too(tmp_path: Path) -> None:
    write(
        tmp_path / "memory",
        memory__limit_in_bytes=f"{900 * MEGA}\n",
        memory__usage_in_bytes=f"{950 * MEGA}\n",
        memory__stat="total_inactive_file 0\n",
    )
    assert container_memory(tmp_path) == (900 * MEGA, 0)


def test_without_a_limit_free_memory_is_unlimited(tmp_path: Path) -> None:
    assert container_memory(tmp_path) == (sys.maxsize, sys.maxsize)
    write(tmp_path, memory__max="max\n", memory__current="1\n", memory__stat="inactive_file 0\n")
    assert container_memory(tmp_path) == (sys.maxsize, sys.maxsize)


def test_the_peak_is_what_this_process_ever_needed() -> None:
    before = measure()
    block = bytearray(300 * MEGA)
    assert measure().peak >= before.used + len(block)
    del block
    assert measure().limit >= measure().peak > measure().used


def test_what_a_library_beside_torch_takes_of_the_gpu_is_what_has_become_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free = [900, 900, 400]
    gpu = SimpleNamespace(
        mem_get_info=lambda: (free.pop(0), 1000),
        memory_reserved=lambda: 7,
        max_memory_allocated=lambda: 9,
        reset_peak_memory_stats=lambda: None,
    )
    monkeypatch.setattr(memory, "torch_cuda", lambda: gpu)
    monkeypatch.setattr(memory, "_free_before", None)

    before = measure()
    memory.watch_gpu()
    after = measure()

    assert (before.used, before.peak, before.free) == (7, 9, 900)
    assert (after.used, after.peak, after.free, after.limit) == (500, 500, 400, 1000)
