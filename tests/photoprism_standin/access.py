"""Who may do what: tokens, scopes, and limits on failures.

As in ``internal/api/session.go`` and ``api_auth.go``, ``internal/server/limiter``, ``pkg/rnd``.
"""

import re
import secrets
import string
import time
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus

from tests.photoprism_standin.refusals import (
    FORBIDDEN,
    INVALID_CREDENTIALS,
    RATE_LIMIT,
    UNAUTHORIZED,
    Refused,
    bare,
)

SEARCH = {"search", "view", "access_shared"}
VIEW = {"view"}
UPDATE = {"update"}
SESSION = {"manage", "view"}
_READ = {"search", "view", "download", "subscribe", "access_shared"}
_WRITE = {"upload", "create", "update", "share", "delete", "rate", "react", "manage"}
_WRITE |= {"access_shared"}


def app_password() -> str:
    """Return a token as a person gets it for an app."""
    letters = string.ascii_letters + string.digits
    return "-".join("".join(secrets.choice(letters) for _ in range(6)) for _ in range(4))


@dataclass
class Session:
    """What a token stands for; ``scope`` is one of apps, and empty for people who logged in."""

    scope: str = "*"
    has_user: bool = True
    """False: a client of its own (OAuth2), which sees no library."""
    expired: bool = False
    preview_token: str = field(default_factory=lambda: secrets.token_hex(4))

    def permits(self, resource: str, wanted: set[str]) -> bool:
        """Return whether the scope is enough."""
        scope = self.scope.split()
        if scope in ([], ["*"]):
            return True
        if scope == ["read"]:
            return wanted <= _READ
        if resource not in scope:
            return False
        if "read" in scope or "read:true" in scope:
            return wanted <= _READ
        return wanted <= _WRITE or not {"write", "write:true"} & {*scope}


class Limit:
    """A bucket of failures that fills up again (``golang.org/x/time/rate``)."""

    def __init__(self, burst: int, every_s: float) -> None:
        self._burst, self._every_s = burst, every_s
        self._left, self._at = float(burst), time.monotonic()

    def left(self) -> float:
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) / self._every_s)
        self._at = now
        return self._left

    def take(self) -> None:
        self._left = self.left() - 1

    def give_back(self) -> None:
        self._left = self.left() + 1


class Access:
    """The sessions of a server, and what is left of the failures that it lets pass."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.passwords = {"admin": "insecure"}
        self.is_public = False
        """Whether everybody may do everything, and tokens are not looked at."""
        self.failures = Limit(60, 10.0)
        self.logins = Limit(10, 60.0)

    def add(self, **fields: object) -> str:
        """Return the token of a new session: an app password."""
        token = app_password()
        self.sessions[token] = Session(**fields)  # type: ignore[arg-type] # names of its fields
        return token

    def authorize(self, headers: Message, resource: str, wanted: set[str]) -> Session:
        """Return who asks.

        Raises:
            Refused: 401 if nobody known, 403 if somebody who may not.
        """
        session = self.find(headers)
        if session is None:
            raise Refused(HTTPStatus.UNAUTHORIZED, UNAUTHORIZED)
        if not session.permits(resource, wanted):
            raise Refused(HTTPStatus.FORBIDDEN, FORBIDDEN)
        return session

    def find(self, headers: Message) -> Session | None:
        """Return the session of a token; after too many unknown ones, even of a right one none."""
        if self.is_public:
            return Session(preview_token="")
        token = _token(headers)
        if not re.fullmatch(r"[0-9a-fA-F]{48}|([0-9a-zA-Z]{6}-){3}[0-9a-zA-Z]{6}", token):
            return None
        if self.failures.left() < 1:
            return None
        session = self.sessions.get(token)
        if session is None or session.expired:
            self.failures.take()
            return None
        return session

    def log_in(self, name: object, password: object) -> tuple[str, Session]:
        """Return the token of a new session, and the session.

        Raises:
            Refused: 401 if the password is wrong, 429 after too many of these.
        """
        if self.logins.left() < 1 or self.failures.left() < 1:
            raise Refused(HTTPStatus.TOO_MANY_REQUESTS, RATE_LIMIT)
        self.logins.take()
        if not isinstance(name, str) or self.passwords.get(name) != password:
            raise bare(HTTPStatus.UNAUTHORIZED, INVALID_CREDENTIALS)
        self.logins.give_back()
        token = secrets.token_hex(24)
        self.sessions[token] = Session(scope="")
        return token, self.sessions[token]

    def may_look(self, preview_token: str) -> bool:
        """Return whether thumbnails are shown for this token."""
        tokens = {session.preview_token for session in self.sessions.values()}
        return self.is_public or preview_token in tokens

    def renew_preview_tokens(self) -> None:
        """Have the tokens for thumbnails that were given out be worth nothing."""
        for session in self.sessions.values():
            session.preview_token = secrets.token_hex(4)


def _token(headers: Message) -> str:
    if token := headers.get("X-Auth-Token") or headers.get("X-Session-ID"):
        return token
    kind, _, token = headers.get("Authorization", "").partition(" ")
    return token if kind == "Bearer" else ""
