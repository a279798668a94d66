"""PhotoPrism through our client: lists that shift, thumbnails, and what it says when it refuses."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.photoprism_standin import PhotoPrismStandIn
from tests.stack import Stack
from tests.vision.backfilling import Backfilling, backfilling, caption, labels
from vision.photoprism import client
from vision.photoprism.client import PhotoPrism
from vision.photoprism.connection import Connection, PhotoPrismError, Refused
from vision.runner.asking import GaveUp
from vision.runner.sinks import SinkError
from vision.runner.work import Unreadable


@pytest.fixture
def prism() -> Iterator[PhotoPrismStandIn]:
    with PhotoPrismStandIn(10) as prism:
        yield prism


@pytest.fixture
def run(prism: PhotoPrismStandIn, tmp_path: Path) -> Iterator[Backfilling]:
    with backfilling(prism, tmp_path) as run:
        yield run


@contextlib.contextmanager
def redirecting(target: str) -> Iterator[str]:
    """A server that sends everybody elsewhere, as proxies do who want https."""

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(HTTPStatus.MOVED_PERMANENTLY)
            self.send_header("Location", f"{target}/")
            self.send_header("Content-Length", "0")
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def uids(run: Backfilling, query: str = "") -> list[str]:
    return [photo.row.uid for photo in run.library.photos(query)]


def test_photos_are_found_as_in_the_library_without_those_in_review_or_the_archive(
    prism: PhotoPrismStandIn, run: Backfilling
) -> None:
    first, review, archived, video, *others = prism.uids
    prism.library.photos[review].quality = 1
    prism.library.photos[archived].deleted_at = prism.library.photos[archived].taken_at
    prism.library.photos[video].type = "video"
    assert uids(run) == [first, video, *others]
    assert uids(run, "type:video") == [video]
    assert uids(run, "archived:true") == [archived]


@pytest.mark.parametrize("page", [3, 5, 10, 11])
def test_each_photo_is_listed_once_whatever_the_pages(
    prism: PhotoPrismStandIn, run: Backfilling, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(client, "PAGE", page)
    assert uids(run) == prism.uids


@pytest.mark.parametrize("lost", [[0], [0, 1, 2]], ids=["one", "the page"])
def test_no_photo_is_missed_when_others_vanish_during_the_listing(
    prism: PhotoPrismStandIn, run: Backfilling, monkeypatch: pytest.MonkeyPatch, lost: list[int]
) -> None:
    everything, gone, get = prism.uids, [prism.uids[number] for number in lost], Connection.get

    def shifting(
        self: Connection, path: str, params: Mapping[str, Any] | None = None
    ) -> requests.Response:
        reply = get(self, path, params)
        while gone:
            del prism.library.photos[gone.pop()]
        return reply

    monkeypatch.setattr(client, "PAGE", 3)
    monkeypatch.setattr(Connection, "get", shifting)
    assert {*prism.uids} <= {*uids(run)} <= {*everything}


def test_a_query_that_photoprism_does_not_understand_is_told(run: Backfilling) -> None:
    with pytest.raises(PhotoPrismError, match=r"PhotoPrism says: Unable to do that \(400\)"):
        run.library.photos("colour:")


def test_a_token_for_thumbnails_that_ran_out_is_renewed(
    prism: PhotoPrismStandIn, run: Backfilling
) -> None:
    (photo, *_) = run.library.photos("")
    prism.access.sessions[prism.token].preview_token = "another"
    assert photo.read().startswith(b"\xff\xd8")


def test_a_drawing_in_place_of_a_thumbnail_is_no_photo(
    prism: PhotoPrismStandIn, run: Backfilling
) -> None:
    (photo, *_) = run.library.photos("")
    prism.library.photos[photo.row.uid].files[0].on_disk = False
    with pytest.raises(Unreadable, match="no thumbnail"):
        photo.read()


def test_without_log_in_no_token_is_needed(prism: PhotoPrismStandIn, tmp_path: Path) -> None:
    prism.access.is_public = True
    with backfilling(prism, tmp_path, token="") as run:
        (photo, *_) = run.library.photos("")
        assert photo.read().startswith(b"\xff\xd8")


@pytest.mark.parametrize(
    ("token", "sentence"),
    [("", "needs a token"), ("aaaaaa-bbbbbb-cccccc-dddddd", "does not accept")],
)
def test_a_token_that_is_missing_or_unknown_ends_it_at_once(
    prism: PhotoPrismStandIn, tmp_path: Path, token: str, sentence: str
) -> None:
    with (
        backfilling(prism, tmp_path, token=token) as run,
        pytest.raises(Refused, match=f"{sentence}.*PHOTOPRISM_TOKEN"),
    ):
        run.library.photos("")
    assert len(prism.requests) == 1  # PhotoPrism counts them, and locks out who tries again


def test_a_token_that_expires_ends_the_run_wherever_it_is(
    prism: PhotoPrismStandIn, run: Backfilling
) -> None:
    (photo, *_) = run.library.photos("")
    prism.access.sessions[prism.token].expired = True
    with pytest.raises(GaveUp, match="does not accept the token, or no longer does"):
        photo.open_tasks(["caption"])
    with pytest.raises(SinkError, match="does not accept the token, or no longer does"):
        run.write_anyhow(photo, caption=caption("a cat"))


def test_a_token_that_may_only_read_is_told_at_the_first_change(
    prism: PhotoPrismStandIn, tmp_path: Path
) -> None:
    with backfilling(prism, tmp_path, token=prism.access.add(scope="photos read:true")) as run:
        (photo, *_) = run.library.photos("")
        with pytest.raises(SinkError, match="may not change photos in PhotoPrism"):
            run.write(photo, caption=caption("a cat"))


def test_who_is_told_to_wait_waits_as_long_as_that(
    prism: PhotoPrismStandIn, tmp_path: Path
) -> None:
    slept: list[float] = []
    prism.faults.fail_next, prism.faults.fail_status = 2, HTTPStatus.TOO_MANY_REQUESTS
    prism.faults.retry_after = "7"
    with backfilling(prism, tmp_path, sleep=slept.append) as run:
        assert len(run.library.photos("")) == 10
    assert slept == [7, 7]


def test_a_change_that_was_not_taken_is_thought_over_before_it_is_sent_again(
    prism: PhotoPrismStandIn, tmp_path: Path
) -> None:
    uid = prism.uids[0]

    def sleep(_: float) -> None:
        prism.edit(uid, "Anna at the sea")  # meanwhile

    with backfilling(prism, tmp_path, sleep=sleep) as run:
        photo = run.photo(uid)
        assert photo.open_tasks(["caption"]) == ["caption"]
        prism.after_read[uid] = lambda: setattr(prism.faults, "fail_next", 1)
        assert not run.write_anyhow(photo, caption=caption("a woman"))
    assert prism.library.photos[uid].caption == "Anna at the sea"


def test_a_change_whose_answer_got_lost_is_not_made_again(
    prism: PhotoPrismStandIn, run: Backfilling
) -> None:
    (photo, *_) = run.library.photos("")
    told = {"caption": caption("two animals"), "labels": labels(cat=0.8, dog=0.6)}
    prism.faults.lose_next = 3
    run.write(photo, **told)
    assert [request.method for request in prism.writes()] == ["PUT", "POST", "POST"]
    run.write(photo, caption=caption("a bird"), labels=[])  # what was written is ours
    assert (prism.library.photos[photo.row.uid].caption, prism.labels(photo.row.uid)) == (
        "a bird", {}
    )  # fmt: skip


def test_photoprism_that_stays_away_is_given_up(prism: PhotoPrismStandIn, tmp_path: Path) -> None:
    prism.go_down()
    with (
        backfilling(prism, tmp_path, patience_s=0) as run,
        pytest.raises(Refused, match=r"does not answer at .*Start it, or say where it is"),
    ):
        run.library.photos("")


def test_addresses_of_something_else_are_told(prism: PhotoPrismStandIn, tmp_path: Path) -> None:
    def refusal(url: str) -> str:
        with pytest.raises(Refused) as refused:
            Connection(url, "", 0, lambda _: None).get("/photos")
        return str(refused.value)

    assert "is not an address of PhotoPrism" in refusal("nas:2342")
    with redirecting(prism.url) as url:
        assert f"{url} leads to {prism.url}/: name that with --url." in refusal(url)
    prism.faults.fail_next, prism.faults.fail_status = 1, HTTPStatus.NOT_FOUND
    assert "with status 404 is not PhotoPrism" in refusal(prism.url)
    other = PhotoPrism(Connection(f"{prism.url}/other", "", 0, lambda _: None))
    with pytest.raises(Refused, match="with status 404 is not PhotoPrism"):  # and answers with JSON
        other.photos("")


def test_the_address_of_the_service_is_told_from_that_of_photoprism(stack: Stack, api: str) -> None:
    for url in (api, f"{api}/api/v1/vision", stack.api(VISION_API_KEYS="sesame")):
        photoprism = PhotoPrism(Connection(url, "", 0, lambda _: None))
        with pytest.raises(Refused, match="is Vision Workers, not PhotoPrism"):
            photoprism.photos("")


def test_what_photoprism_says_ends_with_one_full_stop(
    run: Backfilling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.photoprism_standin.library.ENTITY_NOT_FOUND", "There is none.")
    with pytest.raises(PhotoPrismError) as said:
        run.library.photoprism.photo("nothing")
    assert str(said.value) == "PhotoPrism says: There is none."
