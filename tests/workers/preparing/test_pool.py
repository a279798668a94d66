"""The pool of preparing processes: what crashes, hangs or is huge costs one image."""

import io
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest
from PIL import Image

from shared.errors import ModelFailed, TooLarge, UndecodableImage
from shared.settings import Settings
from shared.units import MEGA
from shared.vocabulary import Priority
from tests.conftest import plain
from tests.inputs import as_file
from tests.stack import SAMPLES, UP_S, wait_for
from tests.workers.preparing.steps import step
from workers.preparing.pixels import squash
from workers.preparing.pool import MANY_MEGAPIXELS, WORN_BYTES, PreparingPool
from workers.preparing.sheets import sheet

SQUASH = squash((8, 8), Image.Resampling.BICUBIC)
ECHO = step("echo")


@contextmanager
def pool_of(processes: int, timeout_s: float = 60.0) -> Iterator[PreparingPool]:
    pool = PreparingPool(Settings(decode_processes=processes, decode_timeout_s=timeout_s))
    pool.start()
    try:
        yield pool
    finally:
        pool.close()


@pytest.fixture
def pool() -> Iterator[PreparingPool]:
    with pool_of(1) as started:
        yield started


def test_many_images_from_many_threads_each_get_their_own_answer() -> None:
    with pool_of(3) as pool:
        found: dict[int, bytes] = {}

        def ask(thread: int) -> None:
            futures = [pool.submit(plain(thread, n), SQUASH) for n in range(20)]
            found[thread] = b"".join(future.result(30).content[:2] for future in futures)

        threads = [threading.Thread(target=ask, args=(thread,)) for thread in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == {
            thread: b"".join(bytes((thread, n)) for n in range(20)) for thread in range(8)
        }


def test_a_prepared_image_has_its_size_and_three_bytes_for_each_pixel(pool: PreparingPool) -> None:
    prepared = pool.submit(plain(1, 2, 3), squash((5, 4), 2)).result(30)
    assert (prepared.width, prepared.height) == (5, 4)
    assert prepared.content == bytes((1, 2, 3)) * 20


def test_a_sheet_has_all_frames_and_the_size_of_the_image(pool: PreparingPool) -> None:
    tiles = sheet("tiles_of_longest_edge", {"longest": 8, "tile": 4, "split": True}, 2)
    prepared = pool.submit(as_file(Image.new("RGB", (20, 9), (1, 2, 3))), tiles).result(30)
    assert (prepared.width, prepared.height, prepared.whole) == (4, 4 * 3, (20, 9))
    assert prepared.content == bytes((1, 2, 3)) * (4 * 4 * 3)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"no image", UndecodableImage),
        ((SAMPLES / "cat.jpg").read_bytes()[:9000], UndecodableImage),
        (as_file(Image.new("1", (30_000, 20_000))), TooLarge),
    ],
    ids=["none", "truncated", "bomb"],
)
def test_an_image_that_cannot_be_used_fails_as_in_the_same_process(
    pool: PreparingPool, data: bytes, error: type[Exception]
) -> None:
    bad, good = pool.submit(data, SQUASH), pool.submit(plain(9), SQUASH)
    with pytest.raises(error) as caught:
        bad.result(30)
    with pytest.raises(error) as expected:
        SQUASH.run(data, Settings().max_megapixels)
    assert str(caught.value) == str(expected.value)
    assert good.result(30).content[:1] == b"\x09"


def test_an_image_that_crashes_its_process_twice_is_refused_and_others_are_prepared(
    pool: PreparingPool,
) -> None:
    deadly = pool.submit(b"", step("crash"))
    others = [pool.submit(b"%d" % n, ECHO) for n in range(5)]
    answers = [other.result(30).content.split() for other in others]
    with pytest.raises(UndecodableImage, match="its decoder crashed"):
        deadly.result(30)
    assert [number for number, _ in answers] == [b"%d" % n for n in range(5)]


def test_an_image_that_takes_too_long_is_refused_and_others_are_prepared() -> None:
    with pool_of(1, timeout_s=1) as pool:
        slow = pool.submit(b"", step("sleep", seconds=3600.0))
        quick = pool.submit(b"quick", ECHO)
        assert quick.result(30).content.startswith(b"quick")
        with pytest.raises(UndecodableImage, match="its decoder took too long"):
            slow.result(30)


def test_a_picture_that_takes_long_to_decode_is_ended_in_the_middle_of_it() -> None:
    slow = io.BytesIO()  # all of its scans are read, however small the picture is to be
    Image.effect_noise((3500, 3500), 100).save(slow, "JPEG", progressive=True, quality=95)
    with pool_of(1, timeout_s=0.1) as pool, pytest.raises(UndecodableImage, match="took too long"):
        pool.submit(slow.getvalue(), SQUASH).result(30)


def test_a_process_that_is_stopped_or_killed_by_something_else_costs_no_image(
    tmp_path: Path,
) -> None:
    held = tmp_path / "held"
    with pool_of(1, timeout_s=3) as pool:
        for number in (signal.SIGKILL, signal.SIGSTOP):
            held.mkdir()
            future = pool.submit(b"", step("hold", folder=str(held)))
            wait_for("it to be begun", lambda: list(held.iterdir()))
            os.kill(pool.pids[0], number)
            held.rename(tmp_path / number.name)  # at once: the next process may look at it
            assert future.result(30).content == b""


def test_an_image_of_many_pixels_keeps_no_small_one_waiting_and_no_second_one_company(
    tmp_path: Path,
) -> None:
    large = io.BytesIO()
    Image.new("L", (5000, int(MANY_MEGAPIXELS * MEGA) // 5000 + 1)).save(large, "BMP")
    held = tmp_path / "held"
    held.mkdir()
    with pool_of(2) as pool:
        slow = [pool.submit(large.getvalue(), step("hold", folder=str(held))) for _ in range(3)]
        small = [pool.submit(plain(n), ECHO) for n in range(10)]
        assert wait(small, 60).not_done == set()
        wait_for("the first one", lambda: list(held.iterdir()))
        assert len(list(held.iterdir())) == 1
        shutil.rmtree(held)
        assert {future.result(30).content for future in slow} == {large.getvalue()}


def test_a_bug_is_no_fault_of_the_image_and_the_process_goes_on(pool: PreparingPool) -> None:
    before = pool.submit(b"", ECHO).result(30).content
    with pytest.raises(ModelFailed, match="see the worker's log"):
        pool.submit(b"", step("bug")).result(30)
    assert pool.submit(b"", ECHO).result(30).content == before


def test_a_reply_that_contradicts_itself_is_not_used(pool: PreparingPool) -> None:
    with pytest.raises(UndecodableImage, match="crashed"):
        pool.submit(b"too short", step("lie")).result(30)


def test_freed_memory_is_given_back_and_memory_is_bounded(pool: PreparingPool) -> None:
    (pid,) = {pool.submit(b"", ECHO).result(30).content}
    before = psutil.Process(int(pid)).memory_info().rss
    peak = int(pool.submit(b"", step("allocate", megabytes=200)).result(30).content)
    assert peak > before + 150 * MEGA
    assert pool.submit(b"", ECHO).result(30).content == pid
    assert psutil.Process(int(pid)).memory_info().rss < before + 50 * MEGA
    with pytest.raises(ModelFailed):
        pool.submit(b"", step("allocate", megabytes=10_000)).result(30)
    assert peak < WORN_BYTES


def test_what_is_cancelled_while_it_waits_is_not_prepared(
    pool: PreparingPool, tmp_path: Path
) -> None:
    held = tmp_path / "held"
    held.mkdir()
    running = pool.submit(b"", step("hold", folder=str(held)))
    waiting = pool.submit(b"", step("crash"))
    last = pool.submit(b"last", ECHO)
    assert waiting.cancel()
    shutil.rmtree(held)
    assert running.result(30).content == b""
    assert last.result(30).content.startswith(b"last")


def test_a_pool_that_closes_cancels_what_waits_and_leaves_no_process() -> None:
    with pool_of(2) as pool:
        futures = [pool.submit(b"", step("sleep", seconds=3600.0)) for _ in range(4)]
        wait_for("two processes", lambda: len(pool.pids) == 2)
        pids = pool.pids
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert all(future.done() for future in futures)
    with pytest.raises(CancelledError):
        pool.submit(b"", ECHO).result(0)


@pytest.mark.parametrize(("has_accelerator", "processes"), [(False, 2), (True, 4)])
def test_half_of_the_cores_prepare_images_where_the_model_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_accelerator: bool, processes: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    pool = PreparingPool(Settings(decode_timeout_s=UP_S), lambda: has_accelerator)
    pool.start()
    try:
        picture, holding = plain(1), step("hold", folder=str(tmp_path / "held"))
        (tmp_path / "held").mkdir()
        futures = [pool.submit(picture, holding) for _ in range(6)]
        wait_for("images", lambda: len(list((tmp_path / "held").iterdir())) >= processes)
        assert len(pool.pids) == processes
        shutil.rmtree(tmp_path / "held")
        wait(futures, 60)
        assert [future.result().content for future in futures] == [picture] * 6
    finally:
        pool.close()


def test_other_processes_start_only_when_those_before_them_are_busy() -> None:
    with pool_of(2) as pool:
        for _ in range(10):
            pool.submit(plain(1), SQUASH).result(30)
        assert len(pool.pids) == 1


def test_an_image_wakes_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[threading.Condition] = []

    class Noted(threading.Condition):
        def notify(self, n: int = 1) -> None:
            woken.append(self)
            super().notify(n)

    monkeypatch.setattr("workers.preparing.pool.threading.Condition", Noted)
    with pool_of(3) as pool:
        monkeypatch.undo()
        woken.clear()  # of the threads that have begun
        for _ in range(10):
            pool.submit(plain(1), SQUASH).result(30)
        assert len(woken) <= 10


def test_images_of_persons_are_prepared_before_those_of_bulk_work(
    pool: PreparingPool, tmp_path: Path
) -> None:
    held = tmp_path / "held"
    held.mkdir()
    order: list[str] = []
    pool.submit(b"", step("hold", folder=str(held)))
    wait_for("it to be begun", lambda: list(held.iterdir()))
    futures = []
    for name, priority in [("bulk", Priority.BULK), ("person", Priority.PERSON)]:
        future = pool.submit(b"", ECHO, priority)
        future.add_done_callback(partial(lambda name, _: order.append(name), name))
        futures.append(future)
    shutil.rmtree(held)
    wait_for("both", lambda: len(order) == len(futures))  # a result is there before it is told
    assert order == ["person", "bulk"]
