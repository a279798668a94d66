"""Requests to PhotoPrism: who may ask, waiting while it is away, and errors as sentences."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from vision.http import Bearer, cause_of, json_object, pause_s, retry_after_s
from vision.service import is_loopback

API = "/api/v1"
CONNECT_S = 10.0
REPLY_S = 60.0
CONNECTIONS = 64
BUSY = (429, 502, 503, 504)
"""What proxies answer while PhotoPrism is away or has too much to do; it has none of its own."""
URL_VARIABLE, TOKEN_VARIABLE = "PHOTOPRISM_URL", "PHOTOPRISM_TOKEN"
FROM_US = {"id", "code", "error"}
"""What an error of Vision Workers consists of, whose address may be taken for PhotoPrism's."""


class PhotoPrismError(Exception):
    """PhotoPrism cannot do this for this photo; the message says why."""


class Gone(PhotoPrismError):
    """The photo is not there any more."""


class Refused(PhotoPrismError):
    """PhotoPrism does nothing for us, whatever the photo; the message says what to do."""


class Unavailable(PhotoPrismError):
    """PhotoPrism did not take a change; it was waited, and the change is to be thought over."""


class Connection:
    """The way to one PhotoPrism, with one token; threads may share it."""

    def __init__(
        self, url: str, token: str, patience_s: float, sleep: Callable[[float], None]
    ) -> None:
        """Remember where it is; nothing is sent yet.

        Args:
            url: its address, as ``http://nas:2342``.
            token: an app password, or an access token; empty: it needs none.
            patience_s: seconds that it may not answer, until it is given up.
            sleep: waits so many seconds.
        """
        self.url, self._token = url.rstrip("/").removesuffix(API), token
        self._patience_s, self._sleep = patience_s, sleep
        self._session = requests.Session()
        self._session.auth = Bearer(token)
        self._session.trust_env = not is_loopback(self.url)  # which no proxy reaches
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS))
        self._answered_at, self._failures = time.monotonic(), 0

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> requests.Response:
        """Return what is at a path, asked again while PhotoPrism is away or busy.

        Raises:
            PhotoPrismError: it is an error, or there is none.
        """
        return self._judged(self.get_unjudged(path, params))

    def get_unjudged(self, path: str, params: Mapping[str, Any] | None = None) -> requests.Response:
        """Return what is at a path, or the error that PhotoPrism answers instead.

        Raises:
            Refused: it answers nothing.
        """
        while True:
            reply = self._send("GET", path, params, None)
            if not isinstance(reply, str) and reply.status_code not in BUSY:
                return reply
            self._wait(reply)

    def change(self, method: str, path: str, fields: Mapping[str, Any] | None) -> dict[str, Any]:
        """Send a change once, and return what it made: a person may make another meanwhile.

        Raises:
            Unavailable: it was not taken, as far as is known.
            PhotoPrismError: it is refused.
        """
        reply = self._send(method, path, None, fields)
        if isinstance(reply, str) or reply.status_code in BUSY:
            self._wait(reply)
            raise Unavailable("PhotoPrism did not accept the change.")
        return self.object_in(self._judged(reply))

    def object_in(self, reply: requests.Response) -> dict[str, Any]:
        """Return the object in a reply.

        Raises:
            Refused: it has none.
        """
        content = json_object(reply)
        if content is None:
            raise self.no_photoprism(reply.status_code)
        return content

    def list_in(self, reply: requests.Response) -> list[Any]:
        """Return the list in a reply.

        Raises:
            Refused: it has none.
        """
        try:
            content = reply.json()
        except ValueError:
            content = None
        if not isinstance(content, list):
            raise self.no_photoprism(reply.status_code)
        return content

    def no_photoprism(self, status: int) -> Refused:
        """Return that something else is at the address, which answers with this status."""
        return Refused(
            f"What answers at {self.url} with status {status} is not PhotoPrism. Say where it is "
            f"with --url or {URL_VARIABLE}."
        )

    def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        fields: Mapping[str, Any] | None,
    ) -> requests.Response | str:
        """Return the reply; if there is none, the reason."""
        try:
            reply = self._session.request(
                method,
                f"{self.url}{API}{path}",
                params=params,
                json=fields,
                timeout=(CONNECT_S, REPLY_S),
                allow_redirects=False,  # of which a PUT would become a GET
            )
        except requests.exceptions.SSLError as err:
            raise Refused(f"{self.url} has no valid certificate: {cause_of(err)}") from err
        except (requests.ConnectionError, requests.Timeout) as err:
            return cause_of(err)
        except (requests.RequestException, UnicodeError) as err:
            raise Refused(f"{self.url} is not an address of PhotoPrism: {err}") from err
        if reply.status_code not in BUSY:
            self._answered_at, self._failures = time.monotonic(), 0
        return reply

    def _wait(self, reply: requests.Response | str) -> None:
        """Wait until PhotoPrism may serve again.

        Raises:
            Refused: it has not served for too long.
        """
        why = reply if isinstance(reply, str) else f"status {reply.status_code}"
        if time.monotonic() - self._answered_at > self._patience_s:
            raise Refused(
                f"PhotoPrism does not answer at {self.url} ({why}). Start it, or say where it is "
                f"with --url or {URL_VARIABLE}."
            )
        wanted_s = None if isinstance(reply, str) else retry_after_s(reply.headers)
        wait_s = pause_s(wanted_s, self._failures, self._patience_s)
        self._failures += 1
        self._sleep(wait_s)

    def _judged(self, reply: requests.Response) -> requests.Response:
        """Return a reply that is no error.

        Raises:
            PhotoPrismError: it is one.
        """
        if reply.ok and not reply.is_redirect:
            return reply
        content = json_object(reply)
        said = str((content or {}).get("error") or "").removesuffix(".")
        if content and content.keys() >= FROM_US:
            raise Refused(
                f"What answers at {self.url} is Vision Workers, not PhotoPrism. Say where "
                f"PhotoPrism is with --url or {URL_VARIABLE}."
            )
        if reply.status_code == requests.codes.unauthorized:
            what = (
                "does not accept the token, or no longer does" if self._token else "needs a token"
            )
            raise Refused(
                f"PhotoPrism at {self.url} {what}. Make an app password there (Settings, Account, "
                f"Apps and Devices), and give it in the variable {TOKEN_VARIABLE}."
            )
        if reply.status_code == requests.codes.forbidden:
            raise Refused(
                f"The token may not {_deed(reply)} in PhotoPrism ({said or 'forbidden'}). It has "
                "to be an app password of an admin, with full access or the scope `photos`."
            )
        if reply.is_redirect:
            raise Refused(f"{self.url} leads to {reply.headers['Location']}: name that with --url.")
        if content is None:
            raise self.no_photoprism(reply.status_code)
        if reply.status_code == requests.codes.not_found:
            raise Gone(f"PhotoPrism says: {said}.")
        raise PhotoPrismError(f"PhotoPrism says: {said or reply.reason} ({reply.status_code}).")


def _deed(reply: requests.Response) -> str:
    return "read photos" if reply.request.method == "GET" else "change photos"
