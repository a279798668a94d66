"""Drives a run from its source to its sink, for a command: counts, shows, and ends in order."""

import contextlib
import signal
from collections.abc import Iterator, Sequence
from types import FrameType

from vision import exits
from vision.console import say
from vision.runner.asking import GaveUp
from vision.runner.capacity import Follower
from vision.runner.journal import JournalError
from vision.runner.progress import Report
from vision.runner.run import Runner
from vision.runner.sinks import NotWritten, Sink, SinkError
from vision.runner.work import Item, Outcome


def drive(runner: Runner, items: Sequence[Item], sink: Sink, follower: Follower | None) -> int:
    """Run to the end, or to Ctrl-C, and say how it went.

    Args:
        runner: asks about the items.
        items: all of them.
        sink: takes what is complete; it is closed.
        follower: looks how many workers there are; ``None``: nobody does.

    Returns:
        The exit status; 0: each item is answered and written.
    """
    with Report(len(items)) as report, contextlib.closing(sink):
        status = _take_all(runner, items, sink, report, follower)
    report.summarise(sink.where)
    if status:
        say("The same command goes on from here.")
    elif report.failures:
        say("What failed is not asked again, unless with --retry-failed.")
        status = exits.FAILED
    return status


def _take_all(
    runner: Runner,
    items: Sequence[Item],
    sink: Sink,
    report: Report,
    follower: Follower | None,
) -> int:
    try:
        with _stopping_on_ctrl_c(runner):
            for outcome in runner.run(items):
                _take(outcome, sink, report)
                if follower:
                    follower.look()
            if runner.is_stopped:
                say("Waiting for the answers that are under way; Ctrl-C again leaves at once.")
            for outcome in runner.finish():
                _take(outcome, sink, report)
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except (GaveUp, JournalError, SinkError) as err:
        say(str(err), "red")
        return exits.UNAVAILABLE
    return exits.INTERRUPTED if runner.is_stopped else 0


@contextlib.contextmanager
def _stopping_on_ctrl_c(runner: Runner) -> Iterator[None]:
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


def _take(outcome: Outcome, sink: Sink, report: Report) -> None:
    faults, written = dict(outcome.faults), False
    if outcome.is_complete and not sink.has(outcome):
        try:
            sink.write(outcome)
            written = True
        except NotWritten as err:
            faults["sink"] = str(err)
    report.done(outcome, faults, written=written)
