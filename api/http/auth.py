"""Optional API keys: as ``Authorization: Bearer``, or as the password of HTTP Basic."""

import hmac
from collections.abc import Sequence

from flask import Request

from shared.errors import Unauthorized


def check_key(request: Request, keys: Sequence[str]) -> None:
    """Let a request pass that carries one of the keys, or any request when there are none.

    Raises:
        Unauthorized: no key, or a wrong one.
    """
    if not keys:
        return
    given = request.authorization
    offered = "" if given is None else (given.token or given.password or "")
    # Compare with each key, in constant time, so that timing tells nothing.
    matches = [hmac.compare_digest(offered.encode(), key.encode()) for key in keys]
    if not any(matches):
        raise Unauthorized(
            "A valid API key is needed: send it as `Authorization: Bearer <key>`, or as the "
            "password of HTTP Basic."
        )
