"""Claims to work that one worker does for all."""

import redis


class Claims:
    """``vision:claim:<what>``: a worker does this now, or did it a moment ago."""

    def __init__(self, client: "redis.Redis") -> None:
        self._redis = client

    def take(self, what: str, seconds: float) -> bool:
        """Claim something for ``seconds``; return whether the claim was free."""
        return bool(self._redis.set(f"vision:claim:{what}", 1, nx=True, px=int(seconds * 1000)))
