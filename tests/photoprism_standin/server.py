"""The stand-in itself: a library behind a server that can go down and come back."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from tests.photoprism_standin import pictures
from tests.photoprism_standin.access import Access
from tests.photoprism_standin.api import Answer, Call, RestApi
from tests.photoprism_standin.faults import Faults
from tests.photoprism_standin.http import Handler
from tests.photoprism_standin.library import Library
from tests.photoprism_standin.sources import Api
from tests.standin_server import StandinServer


@dataclass
class Request:
    """A request that came; the path is without ``/api/v1/``."""

    method: str
    path: str
    body: object = None
    status: HTTPStatus | None = None

    @property
    def writes(self) -> bool:
        return self.method in ("PUT", "POST", "DELETE") and self.path.startswith("photos/")


class PhotoPrismStandIn(StandinServer):
    """A PhotoPrism with a library of generated photos, in a ``with`` block.

    Args:
        photos: how many photos; the first was taken first, and all are images of quality 3.
        side: pixels of the side of each.
        api: which state of the source is followed.
        port: 0 is a free one.
    """

    def __init__(self, photos: int = 8, side: int = 64, api: Api = "2026", port: int = 0) -> None:
        self.library = Library(photos, side, api)
        self.access = Access()
        self.token = self.access.add()
        """An app password that may do everything."""
        self.api = RestApi(self.library, self.access, api)
        self.faults = Faults()
        self.requests: list[Request] = []
        self.after_read: dict[str, Callable[[], object]] = {}
        """UID → what is called once, when that photo has been read but not yet been sent."""
        self.collisions: Counter[str] = Counter()
        """UID of a photo → writes that came while another was under way: one may be lost."""
        self._writing: Counter[str] = Counter()
        self._lock = threading.Lock()
        super().__init__(Handler, port)

    @property
    def uids(self) -> list[str]:
        """The photos, in the order in which they were taken."""
        return list(self.library.photos)

    def caption(self, uid: str) -> str:
        """Return the right caption of a photo, such as ``a red circle``."""
        return pictures.caption(self.library.photos[uid].number)

    def edit(self, uid: str, caption: str) -> None:
        """Caption a photo, as a person does in the web interface."""
        field = "Description" if self.library.api == "2024" else "Caption"
        self.library.update(uid, {field: caption, f"{field}Src": "manual"})

    def labels(self, uid: str) -> dict[str, tuple[str, int]]:
        """Return source and uncertainty of each label of a photo, also of rejected ones."""
        rows = self.library.read(uid).labels
        return {label.name: (row.source, row.uncertainty) for row, label in rows}

    def writes(self) -> list[Request]:
        """Return the requests that change a photo, in order of arrival."""
        return [request for request in self.requests if request.writes]

    def fault(self, path: str) -> Answer | None:
        """Return the answer of a proxy, if the next one is to fail."""
        faults = self.faults
        if faults.fail_path not in path or not self._happens("fail_next"):
            return None
        headers = {"Retry-After": faults.retry_after} if faults.retry_after else {}
        page = f"<html><h1>{faults.fail_status} {faults.fail_status.phrase}</h1></html>".encode()
        return Answer(page, headers, "text/html", faults.fail_status)

    def loses(self, request: Request) -> bool:
        """Return whether the answer gets lost."""
        return request.writes and self._happens("lose_next")

    def _happens(self, fault: str) -> bool:
        """Return whether a fault happens this time, and count it down."""
        with self._lock:
            left: int = getattr(self.faults, fault)
            if left > 0:
                setattr(self.faults, fault, left - 1)
            return left != 0

    @contextmanager
    def recorded(self, call: Call) -> Iterator[Request]:
        """Record a request, and whether it collides with another."""
        request = Request(call.method, "/".join(call.path), _body(call.body))
        uid = call.path[1] if request.writes else ""
        with self._lock:
            self.requests.append(request)
            if self._writing[uid]:
                self.collisions[uid] += 1
            if uid:
                self._writing[uid] += 1
        try:
            yield request
        finally:
            with self._lock:
                self._writing[uid] -= bool(uid)


def _body(body: bytes) -> object:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return body
