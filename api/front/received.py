"""A body in memory that is given back while it is read."""

import io
from collections import deque


class ReceivedBody(io.RawIOBase):
    """The pieces of a body as they came; no piece is kept once it was read."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: deque[memoryview] = deque()
        self.size = 0
        """Bytes that have come in all."""

    def add(self, piece: bytes) -> None:
        """Add what came next."""
        if piece:
            self._pieces.append(memoryview(piece))
            self.size += len(piece)

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, target: "memoryview", /) -> int:  # type: ignore[override]  # any buffer
        """Move the next bytes, as many as fit, but of one piece only."""
        if not self._pieces:
            return 0
        piece = self._pieces.popleft()
        count = min(len(target), len(piece))
        target[:count] = piece[:count]
        if count < len(piece):
            self._pieces.appendleft(piece[count:])
        return count
