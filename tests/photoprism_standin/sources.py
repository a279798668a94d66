"""Where values come from, and which rank higher: ``SrcPriority`` in ``internal/entity/src.go``."""

from collections.abc import Mapping
from typing import Literal

Api = Literal["2024", "2026"]

_OF_2024 = {
    "": 1, "default": 1, "estimate": 2, "name": 4, "yaml": 8, "oidc": 8, "ldap": 8, "location": 8,
    "marker": 8, "image": 8, "title": 16, "subject": 16, "keyword": 16, "meta": 16, "xmp": 32,
    "manual": 64, "admin": 128,
}  # fmt: skip
_SINCE = {"file": 2, "ollama": 16, "openai": 16, "caption": 16, "batch": 64, "vision": 64}
PRIORITIES: Mapping[Api, Mapping[str, int]] = {"2024": _OF_2024, "2026": _OF_2024 | _SINCE}


def priority(api: Api, source: str) -> int:
    """Return the rank of a source; as in Go, an unknown one has 0."""
    return PRIORITIES[api].get(source, 0)
