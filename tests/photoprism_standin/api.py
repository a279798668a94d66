"""The requests of the API, without HTTP (``internal/api``)."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from http import HTTPStatus
from typing import Any

from tests.photoprism_standin import pictures
from tests.photoprism_standin.access import SEARCH, SESSION, UPDATE, VIEW, Access, Session
from tests.photoprism_standin.forms import typed
from tests.photoprism_standin.library import Library
from tests.photoprism_standin.query import Query
from tests.photoprism_standin.refusals import NOT_FOUND, BadRequest, bare
from tests.photoprism_standin.rows import Photo, photo_json, row_json
from tests.photoprism_standin.search import find
from tests.photoprism_standin.sources import Api

JSON = "application/json; charset=utf-8"
SVG = "image/svg+xml"


@dataclass
class Call:
    """A request; ``path`` has the parts after ``/api/v1``."""

    method: str
    path: tuple[str, ...]
    parameters: Mapping[str, str]
    headers: Message
    body: bytes

    def json(self) -> Mapping[str, Any]:
        """Return the body.

        Raises:
            BadRequest: it is no JSON object.
        """
        try:
            body = json.loads(self.body)
        except ValueError:
            raise BadRequest from None
        if not isinstance(body, dict):
            raise BadRequest
        return body


@dataclass
class Answer:
    """An answer; a body that is not bytes is sent as JSON."""

    body: object
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = JSON
    status: HTTPStatus = HTTPStatus.OK


class RestApi:
    """Answers requests about a library."""

    def __init__(self, library: Library, access: Access, api: Api) -> None:
        self._library, self._access, self._api = library, access, api
        self._routes: list[tuple[str, str, Callable[..., Answer]]] = [
            ("GET", r"status", self._status),
            ("GET", r"config", self._config),
            ("GET", r"session", self._session),
            ("POST", r"sessions?", self._log_in),
            ("GET", r"photos", self._photos),
            ("GET", r"photos/([^/]+)", self._photo),
            ("PUT", r"photos/([^/]+)", self._update),
            ("POST", r"photos/([^/]+)/label", self._add_label),
            ("PUT", r"photos/([^/]+)/label/([^/]+)", self._change_label),
            ("DELETE", r"photos/([^/]+)/label/([^/]+)", self._remove_label),
            ("GET", r"t/([^/]+)/([^/]+)/([^/]+)", self._thumbnail),
        ]

    def answer(self, call: Call) -> Answer:
        """Answer a request.

        Raises:
            Refused: with an error.
        """
        for method, pattern, answer in self._routes:
            match = re.fullmatch(pattern, "/".join(call.path))
            if method == call.method and match:
                return answer(call, *match.groups())
        raise bare(HTTPStatus.NOT_FOUND, NOT_FOUND)

    def _status(self, call: Call) -> Answer:
        return Answer({"status": "operational"})

    def _config(self, call: Call) -> Answer:
        return Answer(self._config_of(self._access.find(call.headers)))

    def _config_of(self, session: Session | None) -> dict[str, Any]:
        token = session.preview_token if session and not self._access.is_public else "public"
        return {"mode": "user" if session else "public", "previewToken": token}

    def _session(self, call: Call) -> Answer:
        session = self._access.authorize(call.headers, "sessions", SESSION)
        return Answer(
            {"status": "success", "scope": session.scope, "config": self._config_of(session)}
        )

    def _log_in(self, call: Call) -> Answer:
        body = call.json()
        token, session = self._access.log_in(body.get("username"), body.get("password"))
        return Answer(
            {
                "status": "success",
                "id": token,
                "access_token": token,
                "token_type": "Bearer",
                "config": self._config_of(session),
            }
        )

    def _photos(self, call: Call) -> Answer:
        session = self._access.authorize(call.headers, "photos", SEARCH)
        query = Query.parse(call.parameters)
        if not session.has_user:
            raise BadRequest
        found = find(self._library, query)
        headers = {
            "X-Count": str(sum(len(files) for _, files in found)),
            "X-Limit": str(query["count"]),
            "X-Offset": str(query["offset"] or 0),
        }
        if not self._access.is_public:
            headers["X-Preview-Token"] = session.preview_token
        merged = bool(query["merged"])
        rows = [row_json(photo, files, merged=merged, api=self._api) for photo, files in found]
        return Answer(rows, headers)

    def _photo(self, call: Call, uid: str) -> Answer:
        self._access.authorize(call.headers, "photos", VIEW)
        return self._found(self._library.read(uid.lower()))

    def _update(self, call: Call, uid: str) -> Answer:
        self._access.authorize(call.headers, "photos", UPDATE)
        return self._found(self._library.update(uid.lower(), call.json()))

    def _add_label(self, call: Call, uid: str) -> Answer:
        self._access.authorize(call.headers, "photos", UPDATE)
        body = call.json()
        name, uncertainty = typed(body, "Name", ""), typed(body, "Uncertainty", 0)
        rank = typed(body, "Priority", 0)
        return self._found(self._library.add_label(uid.lower(), name, uncertainty, rank))

    def _change_label(self, call: Call, uid: str, label: str) -> Answer:
        self._access.authorize(call.headers, "photos", UPDATE)
        return self._found(self._library.change_label(uid.lower(), label, call.json()))

    def _remove_label(self, call: Call, uid: str, label: str) -> Answer:
        self._access.authorize(call.headers, "photos", UPDATE)
        return self._found(self._library.remove_label(uid.lower(), label))

    def _found(self, photo: Photo) -> Answer:
        return Answer(photo_json(photo, self._api))

    def _thumbnail(self, call: Call, file_hash: str, token: str, size: str) -> Answer:
        """Answer with a picture, or with an icon, which is no error to PhotoPrism."""
        if not self._access.may_look(token):
            return Answer(pictures.ICON, kind=SVG, status=HTTPStatus.FORBIDDEN)
        for photo in self._library.photos.values():
            for file in photo.files:
                if file.hash != file_hash or file.error or size not in pictures.SIZES:
                    continue
                if not file.on_disk:
                    photo.deleted_at, photo.quality = datetime.now(UTC), -1
                    continue
                jpeg = pictures.thumbnail(photo.number, file.side, size)
                return Answer(jpeg, kind="image/jpeg")
        return Answer(pictures.ICON, kind=SVG)
