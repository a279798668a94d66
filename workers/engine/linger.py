"""How long the engine waits for clients to come back: pure bookkeeping, no clock of its own.

Clients that ask again once they have their answer, as PhotoPrism's workers do, would split for ever
into those that run and those that wait meanwhile, and batches would be half as large as they could
be. A short wait after each batch brings them together. One client alone is never waited for.
"""

SHARE = 0.05
"""Of the time of the last batch."""
LONGEST_S = 0.2


class Linger:
    """Knows how many jobs may be had soon, and until when they are worth waiting for."""

    def __init__(self) -> None:
        self._expected, self._until = 0, 0.0

    def batch_over(self, expected: int, seconds: float, now: float) -> None:
        """Begin to wait.

        Args:
            expected: jobs that wait and jobs whose clients get their answers now, together; no
                more than a batch takes.
            seconds: what the batch took.
            now: the time, in seconds.
        """
        self._expected = expected
        self._until = now + min(SHARE * seconds, LONGEST_S)

    def left(self, waiting: int, now: float) -> float:
        """Return the seconds to wait still, with so many jobs there; 0: begin with them."""
        return 0.0 if waiting >= self._expected else max(0.0, self._until - now)
