"""Images in base64, as clients write it: in either alphabet, with or without padding, as data URL.

It is decoded in pieces, between which other threads run: the text of one request may be 64 MB.
"""

import binascii
import io
from collections.abc import Iterator, Mapping

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
        return _decode(text, 0, {})
    comma = text.find(",")
    if comma < 0:
        raise BadRequest("A data URL has no comma: data:image/jpeg;base64,… is expected.")
    if text[max(0, comma - len(_OF_DATA_URL)) : comma].lower() != _OF_DATA_URL:
        raise BadRequest("A data URL is not base64: data:image/jpeg;base64,… is expected.")
    return _decode(text, comma + 1, _ESCAPED)


def _decode(text: str, start: int, escaped: Mapping[str, str]) -> bytes:
    """Decode from ``start`` on, with some characters escaped; the amount of padding is ignored."""
    decoded, left, is_padded = io.BytesIO(), b"", False
    try:
        for piece in _pieces(text, start, escaped):
            data, padding, rest = piece.partition(b"=")
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


def _pieces(text: str, start: int, escaped: Mapping[str, str]) -> Iterator[bytes]:
    """Yield the characters from ``start`` on, in the standard alphabet and without white space."""
    while start < len(text):
        end = start + PIECE
        cut = text.rfind("%", end - 2, end)  # no escape is cut in two
        end = end if cut < 0 else cut
        piece = text[start:end]
        for escape, character in escaped.items():
            piece = piece.replace(escape, character)
        yield piece.encode("ascii").translate(_TO_STANDARD, _WHITESPACE)
        start = end
