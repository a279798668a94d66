"""Images in base64, as clients write it: in either alphabet, with or without padding, as data URL.

It is decoded in pieces, between which other threads run: the text of one request may be 64 MB.
"""

import binascii
import contextlib
import io
from collections.abc import Iterable, Iterator

from shared.errors import BadRequest

PIECE = 256 * 1024
"""Characters that are decoded at once: a millisecond."""
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_WHITESPACE = b" \t\n\r\v\f"
_ESCAPED = {"%2B": "+", "%2b": "+", "%2F": "/", "%2f": "/", "%3D": "=", "%3d": "="}
"""Only the characters of base64: unquoting any escape takes a hundred times the memory."""
_OF_DATA_URL = ";base64"


def decode_image(text: str) -> bytes:
    """Decode a data URL or bare base64.

    Raises:
        BadRequest: it is neither.
    """
    if text[:5].lower() != "data:":
        return _decode(_pieces(text, 0))
    comma = text.find(",")
    if comma < 0:
        raise BadRequest("A data URL has no comma: data:image/jpeg;base64,… is expected.")
    if text[max(0, comma - len(_OF_DATA_URL)) : comma].lower() != _OF_DATA_URL:
        raise BadRequest("A data URL is not base64: data:image/jpeg;base64,… is expected.")
    pieces = _pieces(text, comma + 1)
    return _decode(map(_unescaped, pieces) if "%" in text else pieces)


def _decode(pieces: Iterable[str]) -> bytes:
    """Decode base64; how much padding it has is ignored."""
    decoded, left, is_padded = io.BytesIO(), b"", False
    try:
        for piece in pieces:
            if not left and not is_padded:
                with contextlib.suppress(ValueError):  # the usual form, in a third of the time
                    decoded.write(binascii.a2b_base64(piece, strict_mode=True))
                    is_padded = piece.endswith("=")
                    continue
            text = piece.encode("ascii").translate(_TO_STANDARD, _WHITESPACE)
            data, padding, rest = text.partition(b"=")
            if rest.strip(b"=") or (data and is_padded):
                raise binascii.Error
            is_padded |= bool(padding)
            left += data
            whole = len(left) - len(left) % 4
            decoded.write(binascii.a2b_base64(left[:whole], strict_mode=True))
            left = left[whole:]
        decoded.write(binascii.a2b_base64(left + b"=" * (-len(left) % 4), strict_mode=True))
    except ValueError as err:  # as binascii's and Unicode's errors are
        raise BadRequest(
            "An image is neither a data URL, nor an http(s) URL, nor valid base64."
        ) from err
    return decoded.getvalue()  # without a copy


def _pieces(text: str, start: int) -> Iterator[str]:
    while start < len(text):
        end = start + PIECE
        cut = text.rfind("%", end - 2, end)  # no escape is cut in two
        end = end if cut < 0 else cut
        yield text[start:end]
        start = end


def _unescaped(piece: str) -> str:
    for escape, character in _ESCAPED.items():
        piece = piece.replace(escape, character)
    return piece
