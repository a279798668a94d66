"""A body in memory that is given back while it is read."""

import io
from collections import deque

from shared.allocator import MIB


class ReceivedBody(io.RawIOBase):
    """What has come of a body, in blocks; no block is kept once it was read."""

    def __init__(self) -> None:
        super().__init__()
        # Blocks are so large that the allocator returns them to the system, and pieces are not.
        self._blocks: deque[bytearray] = deque()
        self._position = 0  # in the first block
        self.size = 0
        """Bytes that have come in all."""

    def add(self, piece: bytes) -> None:
        """Add what came next."""
        if not self._blocks or len(self._blocks[-1]) + len(piece) > MIB:
            self._blocks.append(bytearray())
        self._blocks[-1] += piece
        self.size += len(piece)

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, target: "memoryview", /) -> int:  # type: ignore[override]  # any buffer
        """Move the next bytes, as many as fit, but of one block only."""
        if not self._blocks:
            return 0
        block = self._blocks[0]
        with memoryview(block)[self._position : self._position + len(target)] as part:
            count = len(part)
            target[:count] = part
        self._position += count
        if self._position == len(block):
            self._blocks.popleft()
            self._position = 0
        return count
