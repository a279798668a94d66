"""Acknowledges messages without waking Celery's main thread for each."""

from collections.abc import Callable
from typing import Any

from kombu.message import Message

from workers.consumer.stopping import BriefConsumer


class QuietConsumer(BriefConsumer):
    """Celery's consumer, whose main thread acknowledges messages when it wakes the next time.

    Celery wakes it each time, which takes it a whole turn of its loop. To acknowledge a message
    makes room for another one and does nothing else here (``ack_emulation`` in
    shared/celery_app.py), so it is urgent only when there is no room. The loop turns once a second
    at least.
    """

    def call_soon_ack(self, p: Callable[..., object], *args: object, **more: object) -> object:
        """Have the main thread acknowledge a message, or put it back on the queue, which is urgent.

        Called in any thread.
        """
        usual: Any = super()  # its types lack all of this
        hub: Any = vars(self).get("hub")
        if hub is None or getattr(p, "__func__", None) is not Message.ack_log_error:
            return usual.call_soon_ack(p, *args, **more)

        def acknowledge() -> None:
            p(*args, **more)

        with hub._ready_lock:  # noqa: SLF001 - its `call_soon` always wakes
            hub._ready.add(acknowledge)  # noqa: SLF001
        # Only now: the main thread, which sees what is ready before it looks for room, may have
        # found none a moment ago.
        channel: Any = p.__self__.channel  # type: ignore[attr-defined] # each has room of its own
        if not (channel and channel.qos.can_consume()):
            hub.call_soon(_nothing)
        return acknowledge


def _nothing() -> None:
    """Only wake the main thread."""
