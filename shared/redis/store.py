"""Everything that API and workers exchange through Redis beside the queue."""

from collections.abc import Sequence

import redis

from shared.redis.cancellations import Cancellations
from shared.redis.claims import Claims
from shared.redis.inputs import Inputs
from shared.redis.leases import Leases, lease_key
from shared.redis.memory import Memory
from shared.redis.ollama import OllamaSnapshots
from shared.redis.presence import Presences
from shared.redis.replies import Replies, reply_key
from shared.redis.runs import Runs
from shared.redis.server import Server


class Store:
    """Redis keys by purpose; all methods raise ``redis.RedisError`` if Redis does not serve."""

    def __init__(self, client: "redis.Redis") -> None:
        self.client = client
        self.memory = Memory(client)
        self.inputs = Inputs(client)
        self.presence = Presences(client)
        self.leases = Leases(client)
        self.cancellations = Cancellations(client)
        self.replies = Replies(client)
        self.ollama = OllamaSnapshots(client)
        self.claims = Claims(client)
        self.server = Server(client)
        self.runs = Runs(client)

    def delete_request(self, inputs: Sequence[str], task_id: str) -> None:
        """Delete what a task has left: its inputs, its lease and its reply.

        Args:
            inputs: their keys.
            task_id: Celery's id of the task.
        """
        self.client.delete(*inputs, lease_key(task_id), reply_key(task_id))
