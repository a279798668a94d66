"""Sends operators' commands to the workers of a model, beside the requests and not before them.

A command waits for the replies of workers, which may be busy or stopped. So commands have a
connection each, and not those through which requests are published; and only a few may wait.
"""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from celery import Celery

from api.redis_retry import redis_call
from shared.errors import Overloaded
from shared.messages import command_name
from shared.vocabulary import OperatorCommand

AT_ONCE = 2
"""Commands under way in one API process; any more are refused."""
REPLY_S = 3.0
"""How long a worker's reply is waited for."""
TOTAL_S = 10.0
"""How long a command waits for Redis in all."""


class CommandSender:
    """Sends commands through Celery's remote control."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        control: Any = app.control  # its types lack the mailbox
        # Else Celery publishes commands through the pool of connections that requests use.
        control.mailbox.producer_pool = None
        self._free = threading.BoundedSemaphore(AT_ONCE)

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Be one of the commands under way.

        Raises:
            Overloaded: there are enough of them.
        """
        if not self._free.acquire(blocking=False):
            raise Overloaded(f"{AT_ONCE} commands are under way here. Try again soon.")
        try:
            yield
        finally:
            self._free.release()

    def send(self, command: OperatorCommand, workers: Sequence[str]) -> tuple[str, ...]:
        """Send a command to workers and return the names of those that confirmed it in time.

        Raises:
            BrokerUnavailable: Redis does not serve.
        """
        with redis_call(TOTAL_S), self._app.connection_for_write() as opened:
            connection: Any = opened
            # Else kombu tries for ever to publish it, past every deadline.
            connection.ensure = partial(opened.ensure, max_retries=0)
            replies = self._app.control.broadcast(
                command_name(command),
                destination=list(workers),
                connection=connection,
                reply=True,
                timeout=REPLY_S,
                limit=len(workers),
            )
        said = [said for reply in replies or () for said in reply.items()]
        # One that is older and does not know the command replies with an error.
        return tuple(sorted(name for name, answer in said if "error" not in answer))
