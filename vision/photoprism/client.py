"""PhotoPrism's REST API, as far as a backfill needs it."""

import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

from vision.photoprism.connection import Connection, Gone, PhotoPrismError
from vision.photoprism.photo import Photo, Row

SIZE = "fit_720"
"""Thumbnails that PhotoPrism has made for itself: it sends the same ones to vision services."""
PAGE = 1000
"""Photos in a page of the list."""
LISTINGS = 5
"""How often the list is read from its beginning because photos have left it meanwhile."""
REVIEWED = 3
"""Photos of less quality wait for a person's review, or are hidden. A change would approve them."""
PUBLIC_TOKEN = "public"  # noqa: S105 - what stands for it where PhotoPrism needs no log-in


class PhotoPrism:
    """The photos of one PhotoPrism; threads may share it."""

    def __init__(self, connection: Connection) -> None:
        """Ask through a connection; nothing is sent yet."""
        self._connection = connection
        self._preview_token, self._renewing = PUBLIC_TOKEN, threading.Lock()

    @property
    def url(self) -> str:
        """Its address."""
        return self._connection.url

    @property
    def site(self) -> str:
        """What tells it from others, in the journal: its address without ``http`` or ``https``."""
        parts = urlsplit(self.url)
        return f"{parts.netloc}{parts.path}".casefold()

    def photos(self, query: str) -> list[Row]:
        """Return the photos of the library that match a query, each once.

        Photos that are added or deleted meanwhile shift the pages. So each begins with the last
        photo of the one before, and if it is not there, the list is read again.

        Args:
            query: as in PhotoPrism's search; empty: all.

        Raises:
            PhotoPrismError: PhotoPrism does not say, or does not understand the query.
        """
        found: dict[str, Row] = {}
        for _ in range(LISTINGS):
            if self._list(query, found):
                break
        return list(found.values())

    def photo(self, uid: str) -> Photo:
        """Return a photo with its labels.

        Raises:
            PhotoPrismError: it cannot be had.
        """
        reply = self._connection.get(f"/photos/{uid}")
        return Photo.read(self._connection.object_in(reply))

    def thumbnail(self, hash_: str) -> bytes:
        """Return the thumbnail of a file.

        Args:
            hash_: of the file.

        Raises:
            PhotoPrismError: there is none.
        """
        token = self._preview_token
        reply = self._thumbnail(hash_, token)
        if reply.status_code == requests.codes.forbidden:
            reply = self._thumbnail(hash_, self._renewed(token))
        kind = reply.headers.get("Content-Type", "")
        # Where there is none, PhotoPrism sends a drawing that says so, with status 200.
        if not reply.ok or not kind.startswith("image/") or "svg" in kind:
            raise PhotoPrismError("PhotoPrism has no thumbnail of the photo.")
        return reply.content

    def update(self, uid: str, fields: Mapping[str, Any]) -> Photo:
        """Change fields of a photo; return the photo then.

        Raises:
            PhotoPrismError: it is not changed, or it is not known whether it is.
        """
        return Photo.read(self._connection.change("PUT", f"/photos/{uid}", fields))

    def add_label(self, uid: str, fields: Mapping[str, Any]) -> Photo:
        """Give a photo a label, which PhotoPrism takes for a person's; return the photo then.

        Raises:
            PhotoPrismError: as :meth:`update`.
        """
        return Photo.read(self._connection.change("POST", f"/photos/{uid}/label", fields))

    def change_label(self, uid: str, label_id: int, fields: Mapping[str, Any]) -> Photo:
        """Change how a photo has a label; return the photo then.

        Raises:
            PhotoPrismError: as :meth:`update`.
        """
        path = f"/photos/{uid}/label/{label_id}"
        return Photo.read(self._connection.change("PUT", path, fields))

    def remove_label(self, uid: str, label_id: int) -> Photo:
        """Take a label off a photo; return the photo then.

        Raises:
            PhotoPrismError: as :meth:`update`.
        """
        path = f"/photos/{uid}/label/{label_id}"
        return Photo.read(self._connection.change("DELETE", path, None))

    def _list(self, query: str, found: dict[str, Row]) -> bool:
        """Add the photos of a listing to those found; return whether none was missed."""
        offset, last = 0, ""
        while True:
            reply = self._search(query, PAGE, offset)
            rows = [Row.model_validate(row) for row in self._connection.list_in(reply)]
            uids = {row.uid: row for row in rows}
            for uid, row in uids.items():
                found.setdefault(uid, row)
            if last and last not in uids:
                return False
            if len(rows) < int(reply.headers.get("X-Limit", PAGE)):
                return True
            last, offset = rows[-1].uid, offset + len(rows) - 1

    def _search(self, query: str, count: int, offset: int = 0) -> requests.Response:
        """Return a row for each photo, in an order that our own changes leave as it is."""
        fixed = {"primary": "true", "order": "oldest", "quality": REVIEWED}
        params = {**fixed, "count": count, "offset": offset, "q": query}
        try:
            reply = self._connection.get("/photos", params)
        except Gone as err:  # no photo, but the list, which PhotoPrism always has
            raise self._connection.no_photoprism(requests.codes.not_found) from err
        self._preview_token = reply.headers.get("X-Preview-Token") or PUBLIC_TOKEN
        return reply

    def _thumbnail(self, hash_: str, token: str) -> requests.Response:
        return self._connection.get_unjudged(f"/t/{hash_}/{token}/{SIZE}")

    def _renewed(self, old: str) -> str:
        """Return the token for thumbnails that is valid now."""
        with self._renewing:
            if self._preview_token == old:
                self._search("", 1)
            return self._preview_token
