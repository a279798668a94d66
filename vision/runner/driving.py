"""Drives a run from its source to its sink, for a command: counts, shows, and ends in order."""

import contextlib
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from types import FrameType

from vision import exits
from vision.console import say
from vision.runner.announcing import Announcer, State
from vision.runner.asking import GaveUp
from vision.runner.capacity import Follower
from vision.runner.gate import Stopped
from vision.runner.journal import JournalError
from vision.runner.progress import Report
from vision.runner.run import Runner
from vision.runner.sinks import NotWritten, Sink, SinkError
from vision.runner.work import Item, Outcome
from vision.runner.writing import Ended, Writing

ENDS = {exits.INTERRUPTED: State.STOPPED, exits.UNAVAILABLE: State.FAILED}
"""How runs have ended that have not come to their end, by the exit status."""


def drive(
    runner: Runner,
    items: Sequence[Item],
    sink: Sink,
    follower: Follower | None,
    announcer: Announcer | None = None,
) -> int:
    """Run to the end, or to Ctrl-C, and say how it went.

    Args:
        runner: asks about the items.
        items: all of them.
        sink: takes what is complete; it is closed.
        follower: looks how many workers there are; ``None``: nobody does.
        announcer: tells operators how far it is; ``None``: nobody does.

    Returns:
        The exit status; 0: each item is answered and written.
    """
    with ExitStack() as cleanup:
        report = cleanup.enter_context(Report(len(items), runner.window))
        cleanup.enter_context(contextlib.closing(sink))
        if announcer:
            cleanup.enter_context(announcer.following(report, lambda: runner.is_waiting))
        status = _Drive(runner, sink, report, follower).take_all(items)
        if announcer:
            announcer.end = ENDS.get(status, State.DONE)
    report.summarise(sink.where)
    if status:
        say("The same command continues from here.")
    elif report.failures:
        if report.unanswered:
            say("Photos on which a model failed are asked about again only with --retry-failed.")
        if report.unanswered < len(report.failures):
            say("The same command tries again to read or write what it could not.")
        status = exits.FAILED
    return status


class _Drive:
    """One run, from the runner to the sink."""

    def __init__(
        self, runner: Runner, sink: Sink, report: Report, follower: Follower | None
    ) -> None:
        self._runner, self._sink, self._report, self._follower = runner, sink, report, follower
        self._writing = Writing(sink)

    def take_all(self, items: Sequence[Item]) -> int:
        """Return the exit status."""
        try:
            with stopping_on_ctrl_c(self._runner):
                status = self._ask_all(items)
                self._count(self._writing.finish())
        except KeyboardInterrupt:
            return exits.INTERRUPTED
        except (JournalError, SinkError) as err:
            say(str(err), "red")
            return exits.UNAVAILABLE
        return status

    def _ask_all(self, items: Sequence[Item]) -> int:
        try:
            for outcome in self._runner.run(items):
                self._take(outcome)
                if self._follower:
                    self._follower.look()
            if self._runner.is_stopped:
                say("Waiting for requests in flight; press Ctrl-C again to leave at once.")
            for outcome in self._runner.finish():
                self._take(outcome)
        except GaveUp as err:
            say(str(err), "red")
            return exits.UNAVAILABLE
        return exits.INTERRUPTED if self._runner.is_stopped else 0

    def _take(self, outcome: Outcome) -> None:
        if outcome.is_complete and not self._sink.has(outcome):
            self._writing.put(outcome)
        else:
            self._report.done(outcome, outcome.faults)
        self._count(self._writing.ended())

    def _count(self, ended: Iterable[Ended]) -> None:
        """Count what was written.

        Raises:
            SinkError: the sink can take no more.
        """
        for outcome, is_written, error in ended:
            if error is None:
                self._report.done(outcome, {}, written=is_written, left=not is_written)
            elif isinstance(error, NotWritten):
                self._report.done(outcome, {"sink": str(error)})
            elif not isinstance(error, Stopped):  # of which the next run takes care
                raise error


@contextlib.contextmanager
def stopping_on_ctrl_c(runner: Runner) -> Iterator[None]:
    """Have the first Ctrl-C stop the run in order: an exception would come anywhere in the code."""

    def stop(_: int, __: FrameType | None) -> None:
        if runner.is_stopped:
            raise KeyboardInterrupt
        runner.stop()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
