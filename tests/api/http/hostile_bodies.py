"""Bodies that are small to send and large to parse."""

from collections.abc import Callable
from typing import NamedTuple

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=x"
JSON = "application/json"
PART = b'--x\r\nContent-Disposition: form-data; name="images"'
END = b"\r\n--x--\r\n"


def filled(template: bytes, filling: bytes, size: int) -> bytes:
    """Return a body of about a size: a template whose ``*`` is replaced by many copies."""
    return template.replace(b"*", filling * (size // len(filling)))


def nested(opening: bytes, closing: bytes, size: int) -> bytes:
    times = size // len(opening + closing)
    return opening * times + b"1" + closing * times


def members(size: int) -> bytes:
    return b"{" + b",".join(b'"k%d":1' % number for number in range(size // 14)) + b"}"


class Hostile(NamedTuple):
    """A body that is small to send and large to parse."""

    make: Callable[[int], bytes]
    """Returns it, of about a number of bytes."""
    kind: str = JSON


def hostile(template: bytes, filling: bytes, kind: str = JSON) -> Hostile:
    return Hostile(lambda size: filled(template, filling, size), kind)


HOSTILE = {
    "ones": hostile(b'{"images":[*1]}', b"1,"),
    "objects": hostile(b'{"images":[*1]}', b"{},"),
    "arrays": hostile(b'{"options":{"stop":[*1]}}', b"[],"),
    "strings": hostile(b'{"images":[*""]}', b'"",'),
    "messages": hostile(b'{"messages":[*{}]}', b'{"role":"user"},'),
    "keys": Hostile(members),
    "options": Hostile(lambda size: b'{"options":%s}' % members(size)),
    "schema": Hostile(lambda size: b'{"schema":%s}' % members(size)),
    "deep-objects": Hostile(lambda size: nested(b'{"options":', b"}", size)),
    "deep-format": Hostile(lambda size: b'{"format":%s}' % nested(b'{"a":', b"}", size)),
    "deep-arrays": Hostile(lambda size: nested(b"[", b"]", size)),
    "open-arrays": hostile(b"*", b"["),
    "integer": hostile(b'{"options":{"seed":*}}', b"9"),
    "escapes": hostile(b'{"prompt":"*"}', rb"\n"),
    "quotes": hostile(b'{"prompt":"*"}', rb"\""),
    "backslashes": hostile(b'{"prompt":"*"}', b"\\"),
    "halves": hostile(b'{"prompt":"*"}', rb"\ud83d"),
    "prompt": hostile(b'{"model":"opennsfw","prompt":"*"}', b"a"),
    "emoji": hostile(b'{"images":["*\xf0\x9f\x98\x80"]}', b"a"),
    "escaped-emoji": hostile(rb'{"images":["*\ud83d\ude00"]}', b"a"),
    "utf-16": Hostile(lambda size: ('{"prompt":"' + "漢" * (size // 2) + '"}').encode("utf-16")),
    "url-encoded-fields": hostile(b"*", b"a=1&", kind=FORM),
    "url-encoded-escapes": hostile(b"images=*", b"%41", kind=FORM),
    "url-encoded-emoji": hostile(b"images=*\xf0\x9f\x98\x80", b"a", kind=FORM),
    "parts": hostile(b"*--x--\r\n", PART + b"\r\n\r\nv\r\n", kind=MULTIPART),
    "headers": hostile(PART + b"*\r\n\r\nv" + END, b"\r\na:b", kind=MULTIPART),
    "part-name": hostile(PART[:-1] + b'*"\r\n\r\nv' + END, b"a", kind=MULTIPART),
    "no-boundary": hostile(b"*", b"a", kind=MULTIPART),
    "part-emoji": hostile(PART + b"\r\n\r\n*\xf0\x9f\x98\x80" + END, b"a", kind=MULTIPART),
}  # fmt: skip
