"""States of Redis in which it runs and yet does not serve, each entered and left on a real one."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import redis

from shared.redis.connection import connect
from tests.stack import Stack, end, wait_for

ENDLESS_SCRIPT = "while true do end"
FILLERS, FILLER_BYTES = 40, 2_100_000
"""Keys that Redis loads slowly. While it loads, it answers each time that it has read 2 MB more."""
LOADING_S = 10.0
"""How long it would load all its keys, however many there are."""


@contextlib.contextmanager
def read_only(stack: Stack) -> Iterator[None]:
    """As a replica is after a failover: READONLY."""
    stack.redis.replicaof("127.0.0.1", "1")
    yield
    stack.redis.replicaof("NO", "ONE")


@contextlib.contextmanager
def full(stack: Stack) -> Iterator[None]:
    """OOM: its memory is over its limit."""
    with configured(stack, "maxmemory", "1"):
        yield


@contextlib.contextmanager
def without_replicas(stack: Stack) -> Iterator[None]:
    """NOREPLICAS: it has fewer replicas than it must have for a write."""
    with configured(stack, "min-replicas-to-write", "1"):
        yield


@contextlib.contextmanager
def unable_to_save(stack: Stack) -> Iterator[None]:
    """MISCONF: its last snapshot failed, here because a folder has the name of its file."""
    (stack.processes.folder / "taken.rdb").mkdir(exist_ok=True)
    with (
        configured(stack, "dbfilename", "taken.rdb"),
        configured(stack, "save", "3600 1"),
    ):
        stack.redis.bgsave()
        wait_for("the failed snapshot", lambda: _info(stack, "rdb_last_bgsave_status") == "err", 10)
        yield


@contextlib.contextmanager
def busy(stack: Stack) -> Iterator[None]:
    """BUSY: a script runs for longer than it may."""
    with configured(stack, "lua-time-limit", "50"):
        runner = threading.Thread(target=partial(_run_endless_script, stack.redis_url))
        runner.start()
        wait_for("a busy Redis", partial(_refuses, stack, "BUSY"), 10)
        yield
        stack.redis.script_kill()
        runner.join()
        wait_for("Redis to serve", lambda: not _refuses(stack, "BUSY"), 10)


@contextlib.contextmanager
def loading(stack: Stack) -> Iterator[None]:
    """LOADING: it reads its snapshot, slowly while the block runs."""
    names = [f"filler:{number}" for number in range(FILLERS)]
    for name in names:
        stack.redis.set(name, os.urandom(FILLER_BYTES))
    delay_us = round(LOADING_S * 1_000_000 / int(stack.redis.dbsize()))
    stack.redis.config_set("key-load-delay", delay_us)
    runner = threading.Thread(target=partial(_reload, stack.redis_url))
    runner.start()
    wait_for("a loading Redis", partial(_refuses, stack, "loading"), 10)
    yield
    wait_for("a faster Redis", partial(_loads_fast, stack), 20)
    runner.join()
    wait_for("Redis to serve", lambda: not _refuses(stack, "loading"), 20)
    stack.redis.delete(*names)


@contextlib.contextmanager
def silent(stack: Stack) -> Iterator[None]:
    """It accepts connections and never answers."""
    stack.redis_process.send_signal(signal.SIGSTOP)
    yield
    stack.redis_process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def gone(stack: Stack) -> Iterator[None]:
    """It does not run, and comes back empty."""
    end(stack.redis_process, signal.SIGKILL)
    yield
    stack.restart_redis()


FAULTS: dict[str, Callable[[Stack], contextlib.AbstractContextManager[None]]] = {
    "READONLY": read_only,
    "OOM": full,
    "NOREPLICAS": without_replicas,
    "MISCONF": unable_to_save,
    "BUSY": busy,
    "LOADING": loading,
    "silent": silent,
    "gone": gone,
}


@contextlib.contextmanager
def configured(stack: Stack, name: str, value: str) -> Iterator[None]:
    """With another value of one of its settings."""
    before: Any = stack.redis.config_get(name)[name]
    stack.redis.config_set(name, value)
    yield
    stack.redis.config_set(name, before)


def _info(stack: Stack, name: str) -> object:
    return dict(stack.redis.info("persistence"))[name]


def _refuses(stack: Stack, word: str) -> bool:
    try:
        stack.redis.ping()
    except (redis.ResponseError, redis.exceptions.BusyLoadingError) as err:
        return word in str(err)
    except redis.TimeoutError:  # it answers nothing between two keys
        return word == "loading"
    return False


def _loads_fast(stack: Stack) -> bool:
    with contextlib.suppress(redis.RedisError):
        return bool(stack.redis.config_set("key-load-delay", 0))
    return False


def _reload(url: str) -> None:
    with contextlib.suppress(redis.RedisError), connect(url) as client:
        client.execute_command("DEBUG", "RELOAD")


def _run_endless_script(url: str) -> None:
    # Without retries: a second script would begin when the first one is killed.
    with contextlib.suppress(redis.RedisError), connect(url) as client:
        client.eval(ENDLESS_SCRIPT, 0)
