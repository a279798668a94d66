"""The hours in which a run may ask: ``22:00-07:00``, by the clock on the wall."""

import re
from datetime import datetime, time, timedelta
from typing import NamedTuple, Self

_FORM = re.compile(r"(\d{1,2}):(\d{2})\s*[-–]\s*(\d{1,2}):(\d{2})")


class Window(NamedTuple):
    """Some hours of each day; they may reach over midnight."""

    begin: time
    end: time

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``22:00-07:00``.

        Raises:
            ValueError: it is no such text; the message says so.
        """
        found = _FORM.fullmatch(text.strip())
        try:
            hours = [int(number) for number in found.groups()] if found else [0, 0, 0, 0]
            begin, end = time(hours[0], hours[1]), time(hours[2], hours[3])
        except ValueError:
            begin = end = time()
        if begin == end:
            raise ValueError(f"--between is two different times, as 22:00-07:00, not {text!r}.")
        return cls(begin, end)

    def __str__(self) -> str:
        return f"{self.begin:%H:%M}-{self.end:%H:%M}"

    def opens(self, now: datetime) -> datetime:
        """Return when it opens next; ``now``, if it is open."""
        if self._closes(now) > now:
            return now
        opens = datetime.combine(now.date(), self.begin, now.tzinfo)
        return opens if opens >= now else opens + timedelta(days=1)

    def finish(self, now: datetime, work: timedelta) -> datetime:
        """Return when so much work will be done, if it is done in these hours only."""
        at = self.opens(now)
        while work > (left := self._closes(at) - at):
            work -= left
            at = self.opens(at + left)
        return at + work

    def _closes(self, now: datetime) -> datetime:
        """Return when the window closes that is open at a time; no later time, if none is."""
        for day in (-1, 0):  # of its beginning
            begin = datetime.combine(now.date(), self.begin, now.tzinfo) + timedelta(days=day)
            end = datetime.combine(begin.date(), self.end, now.tzinfo)
            end += timedelta(days=end < begin)
            if begin <= now < end:
                return end
        return now
