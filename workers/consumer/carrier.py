"""Carries jobs from Celery's messages to the engine, and their ends to the API.

One thread fetches the inputs of all messages that have come meanwhile in one trip to Redis, and
another one replies for all jobs that have ended meanwhile in one. Celery's own pools have a thread
for each task. Those of a whole batch would wake at the same moment and contend for Python's lock.
"""

import threading
from collections.abc import Callable

from shared.redis.store import Store
from workers.consumer.carried import Delivery, OpenTasks
from workers.consumer.fetching import Fetcher
from workers.consumer.replying import Replier
from workers.consumer.stopping import Stopping
from workers.engine.interface import Engine


class Carrier:
    """Two threads; :meth:`take` and the engine give them work."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        served_elsewhere: Callable[[], bool],
        in_hand: set[str],
        stopping: Stopping,
    ) -> None:
        """Prepare.

        Args:
            store: Redis, where the inputs are, and the replies go.
            engine: runs the jobs.
            served_elsewhere: returns whether another worker has the model ready.
            in_hand: is kept to the ids of the tasks that are fetched, or that the engine has.
            stopping: whether the worker stops.
        """
        self._open_tasks = OpenTasks()
        self._replier = Replier(store, engine, served_elsewhere, stopping, self._open_tasks)
        self._fetcher = Fetcher(store, engine, in_hand, stopping, self._replier.put)
        self._threads = [
            threading.Thread(target=self._fetcher.run, name="fetch", daemon=True),
            threading.Thread(target=self._replier.run, name="reply", daemon=True),
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def take(self, delivery: Delivery) -> None:
        """Take over a message; returns at once."""
        self._open_tasks.add()
        self._fetcher.put(delivery)

    def close(self) -> None:
        """Wait until all jobs have ended, then end the threads."""
        self._open_tasks.wait_until_none()
        self._fetcher.put(None)
        self._replier.close()
        for thread in self._threads:
            thread.join()
