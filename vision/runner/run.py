"""Asks questions about all items of a source: many at once, none twice."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

from vision.runner.asking import Asker, Failed, GaveUp
from vision.runner.gate import Gate, Stopped
from vision.runner.journal import Journal
from vision.runner.window import Window
from vision.runner.work import Item, Outcome, Question, Unreadable, digest_of, id_of

READ_AHEAD = 2
"""Items beside those in flight, whose photos are read meanwhile."""


class Runner:
    """Asks the same questions about many items."""

    def __init__(
        self,
        journal: Journal,
        questions: Sequence[Question],
        gate: Gate,
        asker: Asker,
        *,
        retry_failed: bool = False,
        sent_as: Callable[[bytes], bytes] = bytes,
    ) -> None:
        """Prepare a run; nothing is asked yet.

        Args:
            journal: what was asked before, and what will be.
            questions: about each item, one for each task.
            gate: how many requests are in flight.
            asker: sends them, through the gate.
            retry_failed: ask again what failed in an earlier run.
            sent_as: makes of a photo what is sent; the journal knows the photo itself.
        """
        self._journal, self._questions, self._gate, self._asker = journal, questions, gate, asker
        self._retry_failed, self._sent_as = retry_failed, sent_as
        # `None` wakes whoever waits.
        self._finished: queue.SimpleQueue[Outcome | BaseException | None] = queue.SimpleQueue()
        self._active = 0
        self.is_stopped = False
        """Whether :meth:`stop` was called."""

    def run(self, items: Iterable[Item]) -> Iterator[Outcome]:
        """Yield what is known of each item, in the order in which that is complete.

        After :meth:`stop` it ends early, and :meth:`finish` yields what is under way.

        Raises:
            GaveUp: the service answers nobody; what is under way is lost, but nothing before.
        """
        source = iter(items)
        while not self.is_stopped:
            if self._is_full or (item := next(source, None)) is None:
                if not self._active:
                    return
                if outcome := self._next():
                    yield outcome
            elif (known := self.known(item)) is not None:
                yield known
            else:
                self._begin(item)

    @property
    def window(self) -> Window | None:
        """The hours in which it asks; ``None``: always."""
        return self._gate.window

    @property
    def is_waiting(self) -> bool:
        """Whether nothing is asked now, because it is not time or the service is away."""
        return self._gate.is_closed

    @property
    def _is_full(self) -> bool:
        return self._active >= self._gate.limit + READ_AHEAD

    def stop(self) -> None:
        """Begin nothing more; a signal's handler may call this."""
        self.is_stopped = True
        self._gate.stop()
        self._finished.put(None)

    def finish(self) -> Iterator[Outcome]:
        """Yield what comes of the requests in flight after :meth:`stop`."""
        while self._active:
            if outcome := self._next():
                yield outcome

    def known(self, item: Item) -> Outcome | None:
        """Return the outcome for an item if nothing has to be asked or read for it."""
        try:
            return self._remembered(item, item.stamp(), self._questions)
        except Unreadable as err:
            return self._unreadable(item, err)

    def is_to_be_asked(self, item: Item) -> bool:
        """Return whether a run would ask about an item, after looking whether it could use that."""
        try:
            questions = self._open_questions(item)
            return bool(questions) and not self._remembered(item, item.stamp(), questions)
        except Unreadable:
            return False

    def _open_questions(self, item: Item) -> list[Question]:
        usable = item.open_tasks([question.task for question in self._questions])
        return [question for question in self._questions if question.task in usable]

    def _remembered(
        self, item: Item, stamp: tuple[int, int], questions: Sequence[Question]
    ) -> Outcome | None:
        """Return the outcome for an item if the journal knows what came of each question."""
        if not (digest := self._journal.digest(item.name, stamp)):
            return None
        outcome = self._recall(item, digest, questions)
        is_known = len(outcome.answers) + len(outcome.faults) == len(questions)
        return outcome if is_known else None

    def _unreadable(self, item: Item, err: Unreadable) -> Outcome:
        faults = {question.task: str(err) for question in self._questions}
        return Outcome(item, faults=faults, is_unread=True)

    def _recall(self, item: Item, digest: str, questions: Sequence[Question]) -> Outcome:
        """Return what the journal has for an item."""
        keys = {question.task: question.key(item.name, digest) for question in questions}
        outcome = Outcome(item, id_of(keys))
        for task, key in keys.items():
            if answer := self._journal.answer(key):
                outcome.answers[task] = answer
            elif not self._retry_failed and (fault := self._journal.fault(key)):
                outcome.faults[task] = fault
        return outcome

    def _begin(self, item: Item) -> None:
        self._active += 1
        # One that waits for an answer must not keep the program from ending.
        threading.Thread(target=self._work, args=(item,), daemon=True).start()

    def _next(self) -> Outcome | None:
        """Wait for an item to be finished; ``None``: it, or the run, was stopped before."""
        done = self._finished.get()
        if done is None:
            return None
        self._active -= 1
        if isinstance(done, Outcome):
            return done
        if isinstance(done, Stopped):
            return None
        self._gate.stop()
        raise done

    def _work(self, item: Item) -> None:
        try:
            self._finished.put(self._outcome(item))
        except BaseException as err:  # noqa: BLE001 - raised again by whoever takes it
            self._finished.put(err)

    def _outcome(self, item: Item) -> Outcome:
        try:
            stamp, questions = item.stamp(), self._open_questions(item)
            if not questions:
                return Outcome(item)
            if known := self._remembered(item, stamp, questions):
                return known
            content = item.read()
        except Unreadable as err:
            return self._unreadable(item, err)
        digest = digest_of(content)
        self._journal.remember_digest(item.name, stamp, digest)
        outcome = self._recall(item, digest, questions)
        left = [
            question
            for question in questions
            if question.task not in outcome.answers and question.task not in outcome.faults
        ]
        content = self._sent_as(content) if left else b""
        for question in left:
            outcome.asked += 1
            self._ask(question, content, digest, outcome)
        return outcome

    def _ask(self, question: Question, content: bytes, digest: str, outcome: Outcome) -> None:
        name = outcome.item.name
        key = question.key(name, digest)
        try:
            answer = self._asker.ask(question, content, key)
        except Failed as err:
            self._journal.record_fault(key, name, question, str(err))
            outcome.faults[question.task] = str(err)
        else:
            self._journal.record(key, name, digest, question, answer)
            outcome.answers[question.task] = answer


__all__ = ["GaveUp", "Runner"]
