"""Optional API keys: as ``Authorization: Bearer``, or as either half of HTTP Basic."""

import base64
import binascii
import hmac
from collections.abc import Sequence

from flask import Request

from api.openai_compat import OPENAI_BASE
from shared.errors import Unauthorized
from shared.settings import Settings

GUARDED = ("/api/", OPENAI_BASE)
"""Paths below which a request needs a key."""


def check_access(request: Request, settings: Settings) -> None:
    """Raise an error unless the request may use its route; without keys everyone may.

    Raises:
        Unauthorized: the request has no key, or a wrong one.
    """
    if settings.api_keys and request.path.startswith(GUARDED):
        check_key(request, (*settings.api_keys, *settings.operator_keys))


def check_key(request: Request, keys: Sequence[str], what: str = "API key") -> None:
    """Raise an error unless the request carries one of the keys.

    Args:
        request: the request.
        keys: the keys.
        what: what they are, for the message.

    Raises:
        Unauthorized: the request has no key, or a wrong one.
    """
    given = _credentials(request.headers.get("Authorization", ""))
    # Each is compared with each, in constant time, so that the time taken reveals nothing.
    matches = [hmac.compare_digest(word, key.encode()) for word in given for key in keys]
    if not any(matches):
        raise Unauthorized(
            f"A valid {what} is needed: send it as `Authorization: Bearer <key>`, or as the user "
            "name or the password of HTTP Basic."
        )


def _credentials(header: str) -> tuple[bytes, ...]:
    """Return what may be a key in an ``Authorization`` header.

    Werkzeug parses a token with a ``=`` in it as parameters (RFC 9110, section 11.4), which a key
    of random base64 is not, so the header is parsed here.
    """
    scheme, _, rest = header.strip().partition(" ")
    value = rest.strip().encode("latin-1")  # WSGI has the bytes of a header as Latin-1
    match scheme.lower():
        case "bearer":
            return (value,)
        case "basic":
            try:
                user, _, password = base64.b64decode(value).partition(b":")
            except binascii.Error:
                return ()
            return (user, password)
        case _:
            return ()
