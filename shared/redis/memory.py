"""Room in Redis' memory for what requests store there, so that it is never full."""

import uuid
from typing import NamedTuple

import redis

SHARE = 0.5
"""Part of ``maxmemory`` that may be used when a request is admitted. The rest is for what is under
way: while a worker reads an image, Redis holds it twice, in its key and in the buffer of the reply;
and results, leases and heartbeats must always find room."""
WRITE_S = 60
"""How long a writer holds room at most: if it dies, its room is free afterwards."""
_KEY = "vision:pending"

# KEYS: the writers under way, a sorted set of `<id>|<bytes>` by the time at which they expire.
# ARGV: an id, bytes, the longest time to write them in seconds, the share. Returns whether there is
# room, the bytes that may be used, and those that are left; 0, 0: the limit is not applied. So it
# is where INFO is forbidden, and where Redis is full already or refuses to write: the write that
# follows says why.
_RESERVE = """
local info = redis.pcall('INFO', 'memory')
if type(info) ~= 'string' then return {1, 0, 0} end
local most = tonumber(info:match('maxmemory:(%d+)'))
local used = tonumber(info:match('used_memory:(%d+)'))
if most == 0 or used > most then return {1, 0, 0} end
local now = tonumber(redis.call('TIME')[1])
local writers = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
if writers[2] and tonumber(writers[2]) <= now then
    redis.pcall('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
    writers = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
end
for place = 1, #writers, 2 do
    used = used + tonumber(writers[place]:match('|(%d+)$'))
end
local limit = most * ARGV[4]
if used + ARGV[2] > limit then return {0, limit, 0} end
local added = redis.pcall('ZADD', KEYS[1], now + ARGV[3], ARGV[1] .. '|' .. ARGV[2])
if type(added) ~= 'number' then return {1, 0, 0} end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return {1, limit, limit - used - ARGV[2]}
"""


class Reservation(NamedTuple):
    """The answer to a writer."""

    token: str
    """What to release when the bytes are written; empty: there is no room, or no limit."""
    granted: bool
    limit_bytes: int
    """What all requests together may use; 0: there is no limit."""
    left_bytes: int
    """What others may still use besides."""


class Memory:
    """``vision:pending``: who writes how many bytes just now; what is written, Redis counts."""

    def __init__(self, client: "redis.Redis") -> None:
        self._redis = client
        self._reserve = client.register_script(_RESERVE)

    def reserve(self, size: int, share: float = 1.0) -> Reservation:
        """Ask for room for ``size`` bytes, of which at most a share may be taken then."""
        unique = uuid.uuid4()
        granted, limit, left = self._reserve(
            keys=[_KEY], args=[str(unique), size, WRITE_S, SHARE * share]
        )
        token = f"{unique}|{size}" if granted and limit else ""
        return Reservation(token, bool(granted), int(limit), int(left))

    def release(self, reservation: Reservation) -> None:
        """Say that the bytes are written, or will not be."""
        if reservation.token:
            self._redis.zrem(_KEY, reservation.token)
