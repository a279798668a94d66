"""What the clients of all services have in common: keys, errors and headers."""

import math
import re
from collections.abc import Mapping
from typing import Any

import requests
from requests.auth import AuthBase

SHOWN_CHARACTERS = 200
_OF_SYSTEM = re.compile(r"\[(?:Errno -?\d+|SSL: \w+)\] ([^'\")(]+)")
"""In an error of requests: its number, and what it means."""


class Bearer(AuthBase):
    """An API key. As a mere header, requests would replace it by what a ``.netrc`` says."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add it to a request."""
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request


def json_object(reply: requests.Response) -> dict[str, Any] | None:
    """Return the JSON object of a reply; ``None``: it holds none."""
    try:
        content = reply.json()
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return ``Retry-After``, where it is a number of seconds."""
    try:
        seconds = float(headers.get("Retry-After", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def cause_of(err: Exception) -> str:
    """Return the reason of an error of requests, in the words of the system where it has any."""
    found = _OF_SYSTEM.search(str(err))
    return (found[1] if found else str(err))[:SHOWN_CHARACTERS]
