"""The service as its clients see it: addresses, keys, requests, and errors as sentences."""

from collections.abc import Mapping
from enum import StrEnum
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from vision.http import Bearer, cause_of, json_object, retry_after_s
from vision.schemas import Model, Run

BASE = "/api/v1/vision"
PRIORITY = "X-Priority"
"""The header with a request's priority; older services ignore it."""
WORKER_HOST = "X-Worker-Host"
"""The header with the machine that answered; older services do not say, or not of errors."""
CONNECT_S = 10.0
"""How long a connection may take."""
ANSWER_S = 30.0
"""How long a list or a command may take; the API waits 10 s for workers and Redis."""
REPORT_S = 5.0
"""How long a report may take; there is another one soon."""
PHOTO_S = 620.0
"""How long a photo may take: more than the API's longest deadline, which is below 600 s."""
PORTS = {"http": 80, "https": 443}
"""Of addresses that name none."""
CONNECTIONS = 64
"""Connections that are kept open for the next requests."""


class Priority(StrEnum):
    """Who waits for an answer; the service answers persons before bulk work."""

    PERSON = "person"
    BULK = "bulk"


class ServiceError(Exception):
    """The service cannot be reached, or refuses; the message says what to do.

    ``status`` is the HTTP status, or 0 where there was no reply. ``retry_after_s`` is what the
    service asks to wait, or ``None``. ``kind`` is the error's in the reply, mostly empty, and
    ``host`` the machine whose worker gave it; empty: none did, or it is not known.
    ``is_of_service``: whether the service itself has replied, and not something in its place.
    """

    def __init__(
        self,
        message: str,
        status: int = 0,
        retry_after_s: float | None = None,
        kind: str = "",
        host: str = "",
        *,
        is_of_service: bool = False,
    ) -> None:
        super().__init__(message)
        self.status, self.retry_after_s = status, retry_after_s
        self.kind, self.host, self.is_of_service = kind, host, is_of_service


class Service:
    """One service, at one address, with one key; threads may share it."""

    def __init__(self, url: str, key: str = "", priority: Priority = Priority.BULK) -> None:
        """Remember where the service is; nothing is sent yet.

        Args:
            url: address of the service, as ``http://127.0.0.1:5000``.
            key: an API key or operator key; empty: none.
            priority: of questions about photos.
        """
        self._priority = priority
        self.url, self.key = url.rstrip("/").removesuffix(BASE), key
        self._session = requests.Session()
        self._session.auth = Bearer(key)
        self._session.trust_env = not is_loopback(self.url)  # which no proxy reaches
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS))

    def models(self) -> list[Model]:
        """Return the models of the catalogue, with the workers that serve them now.

        Raises:
            ServiceError: the service does not say.
        """
        return [Model.model_validate(entry) for entry in self.get(f"{BASE}/models")["models"]]

    def needs_key(self) -> bool:
        """Return whether the service refuses requests without a key."""
        if not self.key:
            return False  # else it would not have answered
        try:
            Service(self.url).models()
        except ServiceError as err:
            return err.status == 401
        return False

    def flower_url(self) -> str:
        """Return where Flower is for people's browsers; empty: the service does not know.

        Raises:
            ServiceError: the service does not say.
        """
        return str(self.get(f"{BASE}/models").get("flower_url") or "")

    def not_ready(self) -> dict[str, str]:
        """Return for each model that should run, but that no worker has ready, the reason.

        Raises:
            ServiceError: the service does not say.
        """
        return dict(self.get("/readyz")["models"])

    def command(self, model: str, command: str) -> list[str]:
        """Give an operator's command; return the names of the workers that confirmed it.

        Raises:
            ServiceError: it is refused.
        """
        return list(self.post(f"{BASE}/models/{model}/{command}", None, ANSWER_S)["workers"])

    def photo(self, task: str, body: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """Ask a question about a photo; return the reply, and the machine that gave it.

        Raises:
            ServiceError: it is not answered.
        """
        reply, headers = self._request(
            "POST", f"{BASE}/{task}", body, PHOTO_S, {PRIORITY: self._priority}
        )
        return reply, headers.get(WORKER_HOST, "")

    def report(self, run: str, about: Mapping[str, Any]) -> None:
        """Tell operators how far a run is.

        Raises:
            ServiceError: nobody takes it.
        """
        self._request("PUT", f"{BASE}/runs/{run}", about, REPORT_S)

    def runs(self) -> list[Run]:
        """Return the runs that report to the service; only operators are told.

        Raises:
            ServiceError: the service does not say.
        """
        return [Run.model_validate(entry) for entry in self.get(f"{BASE}/runs")["runs"]]

    def get(self, path: str) -> dict[str, Any]:
        """Return what the service says at a path.

        Raises:
            ServiceError: it says nothing, or that it cannot.
        """
        return self._request("GET", path, None, ANSWER_S)[0]

    def post(self, path: str, body: Mapping[str, Any] | None, timeout_s: float) -> dict[str, Any]:
        """Send JSON to a path and return the reply.

        Raises:
            ServiceError: there is none in time, or it is an error.
        """
        return self._request("POST", path, body, timeout_s)[0]

    def _request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[dict[str, Any], Mapping[str, str]]:
        try:
            reply = self._session.request(
                method,
                f"{self.url}{path}",
                json=body,
                headers=headers,
                timeout=(CONNECT_S, timeout_s),
                allow_redirects=False,
            )
            content = json_object(reply)
        except (requests.RequestException, UnicodeError) as err:
            raise ServiceError(self._unreachable(err)) from err
        if reply.ok and content is not None and not reply.is_redirect:
            return content, reply.headers
        raise ServiceError(
            self._refusal(reply, content),
            reply.status_code,
            retry_after_s(reply.headers),
            str((content or {}).get("kind") or ""),
            reply.headers.get(WORKER_HOST, ""),
            is_of_service=_error_in(content) is not None,
        )

    def _unreachable(self, err: Exception) -> str:
        if isinstance(err, requests.exceptions.SSLError):
            return f"{self.url} has no valid certificate: {cause_of(err)}"
        if isinstance(err, requests.ReadTimeout):
            return f"{self.url} did not answer in time."
        if isinstance(err, requests.ConnectionError | requests.Timeout):
            return (
                f"The service cannot be reached at {self.url} ({cause_of(err)}). Start it with "
                "`make run` or `docker compose up -d`, or say where it is with --url or VISION_URL."
            )
        return f"{self.url} is not an address of a service: {err}"

    def _refusal(self, reply: requests.Response, content: dict[str, Any] | None) -> str:
        said = _error_in(content)
        if reply.status_code == requests.codes.unauthorized:
            what = "does not accept the key" if self.key else "needs a key"
            return f"{self.url} {what}. {said or ''} Give it with --key or VISION_API_KEY.".replace(
                "  ", " "
            )
        if said is not None:
            return said
        return (
            f"What answers at {self.url} with status {reply.status_code} is not Vision Workers. "
            "Say where the service is with --url or VISION_URL."
        )


def _error_in(content: Mapping[str, Any] | None) -> str | None:
    """Return the sentence in an error of the service; ``None``: it is none."""
    said = (content or {}).get("error")
    return said if isinstance(said, str) else None


def host_and_port(url: str) -> tuple[str, int] | None:
    """Return to which host and port an address leads; ``None``: it is no address."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.hostname, port) if parts.hostname and port else None


def is_loopback(url: str) -> bool:
    """Return whether an address leads to this machine itself."""
    try:
        name = urlsplit(url).hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
