"""What one worker does on behalf of all."""

import redis


class Claims:
    """``vision:claim:<what>``: some worker does this now, or did it a moment ago."""

    def __init__(self, client: "redis.Redis") -> None:
        self._redis = client

    def take(self, what: str, seconds: float) -> bool:
        """Claim something for some seconds; say whether nobody else holds the claim."""
        return bool(self._redis.set(f"vision:claim:{what}", 1, nx=True, px=int(seconds * 1000)))
