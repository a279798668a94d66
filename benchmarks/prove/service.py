"""The service under attack: as ``make run`` starts it, with a Redis of ours, which can be ended."""

import contextlib
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import psutil

from benchmarks.prove.clients import MODEL, connect, mixed_shot, send
from launcher.ports import LOOPBACK
from shared.units import MEGA
from tests.launched import Launched
from tests.stack import Stack, running_stack, wait_for

SLOW = "slow"
"""A model that takes 0.6 s for an image and one image at a time."""
ANSWER_S = 10.0
"""How long an answer may take that shows that the service is back."""
SETTINGS = {"VISION_MODELS": f"{MODEL},{SLOW}", "VISION_RESTART_GRACE_S": "60"}


class Service(NamedTuple):
    """A running service, its Redis and its processes."""

    stack: Stack
    launched: Launched
    long: bool
    """Whether there is time for the long form of an attack."""

    @property
    def base(self) -> str:
        """URL of the API."""
        return f"http://{LOOPBACK}:{self.launched.port}"

    def master(self) -> psutil.Process:
        """Return gunicorn's master process."""
        return next(process for process in self.launched.family() if _runs(process, "gunicorn"))

    def api_process(self) -> psutil.Process:
        """Return the process that answers HTTP requests."""
        children: list[psutil.Process] = self.master().children()
        return max(children, key=lambda child: child.memory_info().rss)

    def worker(self) -> psutil.Process:
        """Return the worker of the model that is asked."""
        return next(process for process in self.launched.family() if _runs(process, MODEL))

    def model_process(self) -> psutil.Process:
        """Return the process in which that model is loaded."""
        workers = self.stack.presence(MODEL).workers
        return psutil.Process(next(worker.model_pid for worker in workers if worker.model_pid))

    def memory_mb(self) -> float:
        """Return the resident memory of the process that answers HTTP requests."""
        return float(self.api_process().memory_info().rss / MEGA)

    def answers(self) -> bool:
        """Return whether a request is answered now."""
        with contextlib.closing(connect(self.base, ANSWER_S)) as connection:
            return send(connection, mixed_shot(0)).status == 200

    def wait_until_it_answers(self) -> None:
        """Wait until requests are answered and each part runs."""
        wait_for("an answer", self.answers)
        for part in (self.api_process, self.worker, self.model_process):
            wait_for("all parts", lambda part=part: _found(part))  # type: ignore[misc]


@contextlib.contextmanager
def running_service(
    folder: Path, *, long: bool, front: Callable[[int], int] = lambda port: port
) -> Iterator[Service]:
    """Run the service.

    Args:
        folder: for logs.
        long: see :class:`Service`.
        front: returns the port at which the service finds Redis, from Redis' own one.
    """
    with running_stack(folder) as stack:
        url = f"redis://{LOOPBACK}:{front(urlsplit(stack.redis_url).port or 0)}/0"
        launched = Launched(folder / "launcher.log", VISION_REDIS_URL=url, **SETTINGS)
        try:
            service = Service(stack, launched, long)
            service.wait_until_it_answers()
            yield service
        finally:
            launched.stop(signal.SIGTERM)
            shutil.rmtree(launched.folder)


def _runs(process: psutil.Process, word: str) -> bool:
    with contextlib.suppress(psutil.Error):
        return word in process.cmdline()
    return False


def _found(part: Callable[[], psutil.Process]) -> bool:
    try:
        return bool(part().is_running())
    except (StopIteration, ValueError, psutil.Error):
        return False
