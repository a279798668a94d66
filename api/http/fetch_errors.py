"""Why an image could not be fetched: a word for the log, and a sentence for the client.

Nothing here tells a client about private addresses that it may not reach: those are refused before
a connection is made, whether anything listens there or not.
"""

import errno
import http.client
import socket
import ssl
import zlib
from collections.abc import Iterator

import requests
import urllib3.exceptions
from requests_hardened.ip_filter import InvalidIPAddress
from urllib3.util.ssl_match_hostname import CertificateError

from shared.errors import BadRequest, ImageFetchFailed, TooLarge


class NotDecodable(Exception):
    """The body has a content coding that is not known here; its argument is the coding's name."""


_NO_ROUTE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL)
_EXPIRED = (9, 10)
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""

_CUT_OFF = (
    ssl.SSLEOFError,
    http.client.RemoteDisconnected,
    http.client.IncompleteRead,
    urllib3.exceptions.IncompleteRead,
    ConnectionResetError,
    BrokenPipeError,
)
_WORDS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (InvalidIPAddress, "private address"),
    (requests.TooManyRedirects, "redirects"),
    (requests.HTTPError, "status"),
    (TooLarge, "too large"),
    ((requests.exceptions.InvalidURL, UnicodeError), "invalid URL"),
    (CertificateError, "certificate name"),
    (ssl.SSLCertVerificationError, "certificate"),
    (_CUT_OFF, "cut off"),
    (ssl.SSLError, "TLS"),
    (socket.gaierror, "DNS"),
    (ConnectionRefusedError, "refused"),
    ((TimeoutError, requests.Timeout), "too slow"),
    ((NotDecodable, zlib.error), "encoding"),
    ((http.client.HTTPException, ValueError), "not HTTP"),
)
"""Causes by kind of exception; of several that fit, the first counts."""
_SENTENCES = {
    "private address": "leads to a private address. If that is intended, add its host to "
    "VISION_URL_ALLOW",
    "redirects": "redirects too often",
    "certificate": "leads to a server that presents a certificate that is not trusted ({detail}). "
    "If a private authority has signed it, set VISION_CA_BUNDLE to that authority's certificate",
    "certificate expired": "leads to a server whose certificate is not valid at this time "
    "({detail})",
    "certificate name": "leads to a server that presents a certificate for another host name",
    "TLS": "cannot be reached: the server does not speak TLS as expected ({detail})",
    "DNS": "cannot be reached: its host name cannot be resolved",
    "refused": "cannot be reached: the connection was refused",
    "no route": "cannot be reached: there is no route to its host",
    "cut off": "was not delivered: the server cut off the connection",
    "not HTTP": "was not answered in valid HTTP",
    "encoding": "was answered in an encoding that cannot be decoded ({detail})",
    "unknown": "cannot be reached",
}
"""By cause; each continues "The image's URL"."""


def translate(err: Exception, timeout_s: float, stall_s: float) -> Exception:
    """Return our error for one of a failed transfer.

    Args:
        err: what the transfer raised.
        timeout_s: the time limit for the whole transfer, in seconds.
        stall_s: the time limit for each step of it, in seconds.
    """
    match err:
        case TooLarge():
            return err
        case requests.exceptions.InvalidURL() | UnicodeError():
            return BadRequest("The image's URL is not valid.")
        case requests.HTTPError():
            return _failed(f"was answered with status {err.response.status_code}")
        case TimeoutError():
            return _failed(f"did not deliver within {timeout_s:g} seconds")
        case requests.Timeout():
            return _failed(f"did not deliver: its server sent nothing for {stall_s:g} seconds")
        case _:
            return _failed(_SENTENCES[cause_of(err)].format(detail=detail_of(err)))


def too_large(max_mb: float) -> TooLarge:
    """Return the error for a body of more than ``max_mb`` MB."""
    return TooLarge(f"The image behind the URL is larger than {max_mb:g} MB.")


def _failed(reason: str) -> ImageFetchFailed:
    return ImageFetchFailed(f"The image's URL {reason}.")


def cause_of(err: Exception) -> str:
    """Return the cause in one or two words, for the log."""
    return next((word for each in _chain(err) if (word := _word(each))), "unknown")


def detail_of(err: Exception) -> str:
    """Return what is known beyond the cause; it never has a part of the URL but its host."""
    for each in _chain(err):
        match each:
            case NotDecodable() | zlib.error():
                return str(each)
            case requests.HTTPError():
                return f"status {each.response.status_code}"
            case ssl.SSLCertVerificationError():
                return each.verify_message
            case ssl.SSLError():
                return (each.reason or "").replace("_", " ").lower()
            case socket.gaierror() | OSError() if each.errno and each.strerror:
                return each.strerror
    return ""


def _chain(err: BaseException | None) -> Iterator[BaseException]:
    """Yield the innermost cause first: requests and urllib3 wrap what happened several times."""
    if err is not None:
        yield from _chain(err.__cause__ or err.__context__)
        yield err


def _word(err: BaseException) -> str | None:
    if isinstance(err, ssl.SSLCertVerificationError) and err.verify_code in _EXPIRED:
        return "certificate expired"
    if isinstance(err, OSError) and err.errno in _NO_ROUTE:
        return "no route"
    return next((word for kinds, word in _WORDS if isinstance(err, kinds)), None)
