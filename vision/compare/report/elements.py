"""HTML elements, of which text is only ever text."""

import base64
import hashlib
import re
from collections.abc import Mapping
from xml.etree.ElementTree import Element

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""Characters that HTML has no place for."""


def element(
    tag: str, attributes: Mapping[str, object] | None = None, *children: "str | Element | None"
) -> Element:
    """Return an element; children that are strings become text, and ``None`` is left out."""
    made = Element(tag)
    for name, value in (attributes or {}).items():
        made.set(name, harmless(str(value)))
    add(made, *children)
    return made


def add(to: Element, *children: "str | Element | None") -> None:
    """Append text and elements to an element."""
    for child in children:
        if isinstance(child, Element):
            to.append(child)
        elif child:
            last = to[-1] if len(to) else None
            if last is None:
                to.text = (to.text or "") + harmless(child)
            else:
                last.tail = (last.tail or "") + harmless(child)


def harmless(text: str) -> str:
    """Return a text without characters that HTML has no place for."""
    return _CONTROL.sub("\ufffd", text)


def data_url(kind: str, content: bytes) -> str:
    """Return an address that is its own content."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def policy_hash(text: str) -> str:
    """Return what a Content-Security-Policy calls a script or style with this text."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def percent(share: float) -> str:
    """Return a share from 0 to 1 as people read it."""
    return f"{100 * share:.0f} %"
