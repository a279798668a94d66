"""Gives outcomes to a sink in threads of its own: asking goes on while a slow one writes."""

import queue
import threading
from collections.abc import Iterator
from typing import NamedTuple

from vision.runner.sinks import Sink
from vision.runner.work import Outcome


class Ended(NamedTuple):
    """What came of writing an outcome."""

    outcome: Outcome
    is_written: bool
    """``False``: there was nothing to write, or an error."""
    error: BaseException | None = None


class Writing:
    """Writes what it is given, as many at once as the sink takes."""

    def __init__(self, sink: Sink) -> None:
        """Begin."""
        self._sink = sink
        self._waiting: queue.Queue[Outcome] = queue.Queue(maxsize=sink.writers)
        self._ended: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self._under_way = 0
        for _ in range(sink.writers):
            # One that waits for a reply must not keep the program from ending.
            threading.Thread(target=self._work, daemon=True).start()

    def put(self, outcome: Outcome) -> None:
        """Have an outcome written; wait for others before it, if there are many."""
        self._under_way += 1
        self._waiting.put(outcome)

    def ended(self) -> Iterator[Ended]:
        """Yield what has ended meanwhile."""
        while not self._ended.empty():
            yield self._next()

    def finish(self) -> Iterator[Ended]:
        """Yield all that is under way, as soon as it has ended."""
        while self._under_way:
            yield self._next()

    def _next(self) -> Ended:
        ended = self._ended.get()
        self._under_way -= 1
        return ended

    def _work(self) -> None:
        while True:
            outcome = self._waiting.get()
            try:
                self._ended.put(Ended(outcome, self._sink.write(outcome)))
            except BaseException as err:  # noqa: BLE001 - judged by whoever takes it
                self._ended.put(Ended(outcome, is_written=False, error=err))
