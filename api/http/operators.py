"""Who may give operators' commands: who has a key, or, without keys, who is on this machine."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import Request

from api.http.auth import check_key
from api.http.cors import is_own_origin
from shared.errors import Refused
from shared.settings import Settings

FORWARDED = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP")
"""Headers of reverse proxies, whose clients may be anywhere."""


def check_operator(request: Request, settings: Settings) -> None:
    """Raise an error unless the client may give operators' commands.

    Raises:
        Refused: the request comes from a web page of another site; or no key is set, and it comes
            from another machine.
        Unauthorized: the request does not carry one of the keys.
    """
    if _is_cross_site(request):
        raise Refused("Operators' commands are not taken from web pages of other sites.")
    if settings.operator_keys:
        check_key(request, settings.operator_keys, "operator key")
    elif settings.api_keys:
        check_key(request, settings.api_keys)
    elif not _is_from_here(request):
        raise Refused(
            "Without a key, operators' commands are taken only from the machine on which the API "
            "runs, at http://127.0.0.1 or http://localhost; in a container, that is the container. "
            "Set VISION_OPERATOR_KEYS to give them from elsewhere."
        )


def _is_cross_site(request: Request) -> bool:
    """Return whether a page of another origin sends this: a form may, and nothing asks before."""
    site = request.headers.get("Sec-Fetch-Site", "")
    if site:
        return site not in ("same-origin", "none")
    return not is_own_origin(request)


def _is_from_here(request: Request) -> bool:
    """Return whether the client is on this machine, as far as that can be seen.

    The name by which it calls us must not be one that a web page can have pointed at this machine
    (DNS rebinding).
    """
    if any(name in request.headers for name in FORWARDED):
        return False
    name = urlsplit(f"//{request.host}").hostname
    return _is_loopback(request.remote_addr) and (name == "localhost" or _is_loopback(name))


def _is_loopback(address: str | None) -> bool:
    try:
        found = ip_address(address or "")
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback
