"""What a worker tells of all its Ollama servers: to operators a state, to clients a list."""

import re
from collections.abc import Sequence

from shared.messages import JsonObject
from shared.redis.ollama import OllamaSnapshot
from shared.vocabulary import WorkerState
from workers.remote.pool import Pool
from workers.remote.server import Host


def state_of(pool: Pool) -> tuple[WorkerState, str]:
    """Return the worker's state and the reason for it."""
    if pool.trouble:
        return WorkerState.FAILED, pool.trouble
    if not any(host.up for host in pool.hosts):
        return WorkerState.LOADING, "no Ollama server answers yet"
    faults = [f"{host.name} is down" for host in pool.hosts if not host.up]
    faults += [f"{name} on {host.name} is slow" for host in pool.hosts for name in host.degraded]
    return (WorkerState.DEGRADED if faults else WorkerState.READY), "; ".join(faults)


def snapshot_of(hosts: Sequence[Host]) -> OllamaSnapshot:
    """Return what the servers that are up have between them."""
    up = [host for host in hosts if host.up]
    return OllamaSnapshot(
        tags=_merged([host.tags for host in up]),
        ps=_merged([host.ps for host in up]),
        version=min((host.version for host in up if host.version), key=_numbers, default=""),
    )


def _numbers(version: str) -> list[int]:
    """Return what versions are compared by: 0.9.1 is older than 0.12.0."""
    return [int(number) for number in re.findall(r"\d+", version)]


def _merged(lists: Sequence[Sequence[JsonObject]]) -> tuple[JsonObject, ...]:
    """Return the entries of all servers, each name once."""
    by_name = {str(entry.get("name")): entry for entries in lists for entry in entries}
    return tuple(by_name[name] for name in sorted(by_name))
