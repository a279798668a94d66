"""What the clients of all services have in common: keys, errors, headers and pauses."""

import math
import re
from collections.abc import Mapping
from typing import Any

import requests
from requests.auth import AuthBase

SHOWN_CHARACTERS = 200
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
"""Between two tries where the service does not say how long to wait."""
LONGEST_AFTER = 5
"""Failures after which the pause grows no more."""
_OF_SYSTEM = re.compile(r"\[(?:Errno -?\d+|SSL: \w+)\] ([^'\")(]+)")
"""In an error of requests: its number, and what it means."""


class Bearer(AuthBase):
    """An API key. As a mere header, requests would replace it by what a ``.netrc`` says."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add it to a request."""
        if self._key:
            # The client sends Latin-1, so that the service, which reads UTF-8, gets that.
            value = f"Bearer {self._key}".encode().decode("latin-1")
            request.headers["Authorization"] = value
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


def pause_s(wanted_s: float | None, failures: int, patience_s: float) -> float:
    """Return how long to wait before a request is repeated.

    Args:
        wanted_s: what the service asks for; ``None``: it does not say.
        failures: in a row, before this one.
        patience_s: the most.
    """
    doubled_s = FIRST_PAUSE_S * 2 ** min(failures, LONGEST_AFTER)
    return min(min(doubled_s, LONGEST_PAUSE_S) if wanted_s is None else wanted_s, patience_s)


def cause_of(err: Exception) -> str:
    """Return the reason of an error of requests, in the words of the system where it has any."""
    found = _OF_SYSTEM.search(str(err))
    return (found[1] if found else str(err))[:SHOWN_CHARACTERS]
