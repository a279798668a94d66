"""How much of what has come is parsed at once."""

from collections import deque
from types import SimpleNamespace
from typing import Any

from api.front.parsing import BODY_PIECE, HEADER_PIECE, LARGE_PIECE, ParsingProtocol


class InABody(ParsingProtocol):
    """In a body with so many bytes to come, behind which is a header."""

    def __init__(self, length: int) -> None:
        self._unparsed, self._in_message, self._in_header = bytearray(), True, False
        self._body_left, self._left = length, length
        open_: Any = SimpleNamespace(is_closing=lambda: False)
        self.pipeline, self.transport = deque(), open_
        self._parts, self._catching_up = 0, None
        self.pieces: list[int] = []

    def parse(self, piece: bytes) -> bool:
        self.pieces.append(len(piece))
        self._body_left -= len(piece)
        self._left -= len(piece)
        self._in_header = self._left <= 0
        return True


def test_a_body_is_parsed_at_once_and_nothing_behind_it() -> None:
    protocol = InABody(LARGE_PIECE + 50_000)
    protocol.data_received(bytes(LARGE_PIECE + 50_000 + 2 * HEADER_PIECE))
    assert protocol.pieces == [LARGE_PIECE, 50_000, HEADER_PIECE, HEADER_PIECE]


def test_a_body_whose_length_is_not_known_is_parsed_in_small_pieces() -> None:
    protocol = InABody(3 * BODY_PIECE)
    protocol._body_left = 0
    protocol.data_received(bytes(3 * BODY_PIECE))
    assert protocol.pieces == [BODY_PIECE] * 3
