"""How many requests are in flight: as many as the service can take, found by what it says.

The limit grows by one for each round of answers and is halved when the service is full or answers
too late, as that of TCP. Threads wait here for their turn, for a service that is away, and for the
hours in which the run may ask.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from vision.runner.window import Window

HALVING_S = 1.0
"""Refusals within so short a time are one."""
MOST = 64
"""Requests in flight at most, whatever the service could take."""
LEAST = 2
"""So that one is on its way while another is answered."""
LOOK_S = 30.0
"""Between two looks at the clock while it is not time to ask: it may be set, or have slept."""


def local_time() -> datetime:
    """Return the time on the wall."""
    return datetime.now().astimezone()


class Stopped(Exception):
    """No more turns are given: the run is over."""


class Gate:
    """Gives turns to threads that want to send a request."""

    def __init__(
        self,
        most: int,
        window: Window | None = None,
        *,
        tell: Callable[[str], None] = lambda _: None,
        clock: Callable[[], datetime] = local_time,
    ) -> None:
        """Begin with as many as the service should take.

        Args:
            most: requests in flight at most.
            window: the hours in which turns are given; ``None``: always.
            tell: is told what is waited for, each once between two answers.
            clock: returns the time.
        """
        self.window, self._tell, self._clock = window, tell, clock
        self._told = set[str]()
        self._changed = threading.Condition()
        self._most, self._limit = most, float(most)
        self._active = 0
        self._halved_at = self._paused_until = 0.0
        self._answered_at = time.monotonic()
        self._stopped = False

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return int(self._limit)

    @property
    def silence_s(self) -> float:
        """Seconds since the service last answered a question, or might be asked again."""
        return time.monotonic() - self._answered_at

    @property
    def is_closed(self) -> bool:
        """Whether nobody gets a turn now, because it is not time or the service is away."""
        now = self._clock() if self.window else None
        is_early = bool(self.window and now and self.window.opens(now) > now)
        return is_early or time.monotonic() < self._paused_until

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn and hold it.

        Raises:
            Stopped: there are no more turns.
        """
        with self._changed:
            while not self._stopped and (wait_s := self._wait_s()) != 0:
                self._changed.wait(wait_s)
            if self._stopped:
                raise Stopped
            self._active += 1
        try:
            yield
        finally:
            with self._changed:
                self._active -= 1
                self._changed.notify_all()

    def sleep(self, seconds: float) -> None:
        """Wait until it is time to try again.

        Raises:
            Stopped: the run is over.
        """
        until = time.monotonic() + seconds
        with self._changed:
            while not self._stopped and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            if self._stopped:
                raise Stopped

    def answered(self) -> None:
        """Take note of an answer: there may be room for more."""
        with self._changed:
            self._answered_at = time.monotonic()
            self._told.clear()
            self._limit = min(self._limit + 1 / self._limit, self._most)
            self._changed.notify_all()

    def refused(self, sent_at: float) -> None:
        """Take note that the service has too much to do.

        Args:
            sent_at: when it was asked, by :func:`time.monotonic`: a request that was under way when
                the limit was last halved tells nothing new.
        """
        with self._changed:
            now = time.monotonic()
            if sent_at > self._halved_at and now - self._halved_at > HALVING_S:
                self._halved_at = now
                self._limit = max(self._limit / 2, 1.0)

    def pause(self, seconds: float, why: str) -> None:
        """Give no turns for some time: the service is away, for whatever question.

        Args:
            seconds: for how long.
            why: a sentence, for the person who waits.
        """
        with self._changed:
            self._paused_until = max(self._paused_until, time.monotonic() + seconds)
            self._tell_once(f"Waiting: {why}")

    def allow(self, most: int) -> None:
        """Change how many may be in flight at most, as more or fewer workers serve."""
        with self._changed:
            if most > self._most:
                self._limit = max(self._limit, self._limit + most - self._most)
            self._most = most
            self._limit = min(self._limit, most)
            self._changed.notify_all()

    def stop(self) -> None:
        """Give no more turns, and wake all who wait."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _wait_s(self) -> float | None:
        """Return how long to wait for a turn; 0: not at all; ``None``: until something changes."""
        now = self._clock() if self.window else None
        if self.window and now and (opens := self.window.opens(now)) > now:
            self._tell_once(f"Asking between {self.window} only: waiting until {opens:%H:%M}.")
            self._answered_at = time.monotonic()  # nobody could answer meanwhile
            return min((opens - now).total_seconds(), LOOK_S)
        if (pause_s := self._paused_until - time.monotonic()) > 0:
            return pause_s
        return None if self._active >= self.limit else 0.0

    def _tell_once(self, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
            self._tell(what)
