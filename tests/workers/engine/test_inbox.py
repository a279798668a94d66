"""The engine's inbox: what wakes the loop, and what need not."""

import select

from workers.engine.inbox import Inbox


def wakes(inbox: Inbox[int]) -> bool:
    poller = select.poll()
    poller.register(inbox.fileno(), select.POLLIN)
    return bool(poller.poll(0))


def test_an_entry_wakes_until_it_is_taken() -> None:
    inbox: Inbox[int] = Inbox()
    assert not wakes(inbox)
    for entry in (1, 2):
        inbox.put(entry)
        assert wakes(inbox)
    assert list(inbox.take()) == [1, 2]
    assert not wakes(inbox)
    inbox.put(3)
    assert wakes(inbox)
    assert list(inbox.take()) == [3]


def test_a_quiet_entry_is_taken_with_the_next_one_that_wakes() -> None:
    inbox: Inbox[int] = Inbox()
    inbox.put_quietly(1)
    assert not wakes(inbox)
    inbox.put(2)
    assert wakes(inbox)
    assert list(inbox.take()) == [1, 2]


def test_a_quiet_entry_that_nothing_follows_can_be_taken_too() -> None:
    inbox: Inbox[int] = Inbox()
    inbox.flush()
    assert not wakes(inbox)
    inbox.put_quietly(1)
    inbox.flush()
    assert wakes(inbox)
    assert list(inbox.take()) == [1]


def test_a_wake_without_an_entry_does_not_keep_the_next_one_from_waking() -> None:
    inbox: Inbox[int] = Inbox()
    inbox.wake()
    assert wakes(inbox)
    assert not list(inbox.take())
    assert not wakes(inbox)
    inbox.put(1)
    assert wakes(inbox)
