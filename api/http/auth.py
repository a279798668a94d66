"""Optional API keys: as ``Authorization: Bearer``, or as the password of HTTP Basic."""

import hmac
from collections.abc import Sequence

from flask import Request

from shared.errors import Unauthorized


def check_key(request: Request, keys: Sequence[str]) -> None:
    """Raise an error unless the request carries one of the keys; without keys, accept any request.

    Raises:
        Unauthorized: the request has no key, or a wrong one.
    """
    if not keys:
        return
    credentials = request.authorization
    given = "" if credentials is None else (credentials.token or credentials.password or "")
    # All keys are compared, each in constant time, so that the time taken reveals nothing.
    matches = [hmac.compare_digest(given.encode(), key.encode()) for key in keys]
    if not any(matches):
        raise Unauthorized(
            "A valid API key is needed: send it as `Authorization: Bearer <key>`, or as the "
            "password of HTTP Basic."
        )
