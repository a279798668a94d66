"""What a worker publishes of all its Ollama servers: a state, and which models they have."""

import re
from collections.abc import Sequence

from shared.messages import JsonObject
from shared.redis.ollama import OllamaSnapshot
from shared.vocabulary import WorkerState
from workers.remote.pool import Pool
from workers.remote.server import Server


def worker_state(pool: Pool) -> tuple[WorkerState, str]:
    """Return the worker's state and the reason for it."""
    if pool.outage:
        return WorkerState.FAILED, pool.outage
    if not any(server.up for server in pool.servers):
        were_asked = all(server.polled for server in pool.servers)
        reason = f"no Ollama server answers: {pool.errors}" if were_asked else ""
        return WorkerState.LOADING, reason
    faults = [f"{server.name} is down" for server in pool.servers if not server.up]
    faults += [
        f"{model} on {server.name} is slow" for server in pool.servers for model in server.degraded
    ]
    return (WorkerState.DEGRADED if faults else WorkerState.READY), "; ".join(faults)


def make_snapshot(servers: Sequence[Server]) -> OllamaSnapshot:
    """Return the models of all servers that are up, and the oldest version among them."""
    up = [server for server in servers if server.up]
    return OllamaSnapshot(
        tags=_merge([server.installed for server in up]),
        ps=_merge([server.loaded for server in up]),
        version=min((server.version for server in up if server.version), key=_numbers, default=""),
    )


def _numbers(version: str) -> list[int]:
    """Return a key to sort versions by: 0.9.1 is older than 0.12.0."""
    return [int(number) for number in re.findall(r"\d+", version)]


def _merge(lists: Sequence[Sequence[JsonObject]]) -> tuple[JsonObject, ...]:
    """Return the entries of all servers, each name once."""
    by_name = {str(entry.get("name")): entry for entries in lists for entry in entries}
    return tuple(by_name[name] for name in sorted(by_name))
