"""The stand-in behaves as PhotoPrism's source says, so that a client may be tested against it."""

import io
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest
import requests
from PIL import Image

from tests.photoprism_standin import PRIORITIES, File, PhotoPrismStandIn
from tests.photoprism_standin.pictures import SIZES


class Client(requests.Session):
    """Asks a stand-in, as the owner of a token."""

    def __init__(self, prism: PhotoPrismStandIn, token: str | None = None) -> None:
        super().__init__()
        self._base = f"{prism.url}/api/v1/"
        self.headers["Authorization"] = f"Bearer {token or prism.token}"

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> Any:
        kwargs["timeout"] = 10
        return super().request(method, f"{self._base}{url!s}", *args, **kwargs)

    def page(self, **parameters: Any) -> requests.Response:
        return self.get("photos", params={"count": 100, **parameters})

    def uids(self, **parameters: Any) -> list[str]:
        return [row["UID"] for row in self.page(**parameters).json()]


@pytest.fixture
def prism() -> Iterator[PhotoPrismStandIn]:
    with PhotoPrismStandIn(6) as standin:
        yield standin


@pytest.fixture(params=["2024", "2026"])
def either(request: pytest.FixtureRequest) -> Iterator[PhotoPrismStandIn]:
    """Each of the two states of the source."""
    with PhotoPrismStandIn(2, api=request.param) as standin:
        yield standin


@pytest.fixture
def client(prism: PhotoPrismStandIn) -> Iterator[Client]:
    with Client(prism) as asking:
        yield asking


def test_a_page_counts_files_and_not_photos(prism: PhotoPrismStandIn, client: Client) -> None:
    first, second, *_ = prism.uids
    prism.library.photos[first].files.append(File.of(0, 64, serial=1))
    page = client.page(count=3, order="oldest", merged="true")
    assert [row["UID"] for row in page.json()] == [first, second]
    assert (page.headers["X-Count"], page.headers["X-Limit"], page.headers["X-Offset"]) == (
        "3", "3", "0",
    )  # fmt: skip
    assert client.uids(count=2, order="oldest") == [first, first]
    assert client.uids(count=4, offset=4, order="oldest", primary="true") == prism.uids[4:]


def test_searching_finds_what_the_filters_say(prism: PhotoPrismStandIn, client: Client) -> None:
    a, b, c, d, e, f = prism.uids
    photos = prism.library.photos
    photos[b].private, photos[c].quality, photos[d].type = True, 1, "video"
    prism.library.add_label(a, "house cat", 20)
    prism.library.add_label(e, "House Cat", 100)
    assert client.uids(order="oldest", public="true", quality=3) == [a, d, e, f]
    assert client.uids(q="label:house-cat|dog") == [a]
    assert client.uids(q='label:"House Cat" type:video') == []
    assert client.uids(q=f"uid:{a}|{f}", order="newest") == [f, a]
    assert client.uids(type="video") == [d]
    assert client.uids(q="before:2020-01-01") == []
    assert client.uids(q="taken:2020-01-01 house") == [a]


@pytest.mark.parametrize("parameters", [{"count": 0}, {"q": "colour:red"}, {"order": "best"}])
def test_what_cannot_be_searched_is_refused(client: Client, parameters: dict[str, Any]) -> None:
    refused = client.page(**parameters)
    assert refused.status_code == 400
    assert refused.json() == {"code": 400, "error": "Unable to do that"}


@pytest.mark.parametrize(
    ("scope", "reads", "writes"),
    [
        ("*", 200, 200),
        ("photos", 200, 200),
        ("read", 200, 403),
        ("photos read:true", 200, 403),
        ("webdav", 403, 403),
    ],
)
def test_a_scope_says_what_an_app_may_do(
    prism: PhotoPrismStandIn, scope: str, reads: int, writes: int
) -> None:
    with Client(prism, prism.access.add(scope=scope)) as app:
        assert app.page().status_code == reads
        written = app.put(f"photos/{prism.uids[0]}", json={"Title": "x", "TitleSrc": "manual"})
        assert written.status_code == writes


def test_strangers_are_refused_and_after_too_many_everybody(prism: PhotoPrismStandIn) -> None:
    with Client(prism, "AAAAAA-BBBBBB-CCCCCC-DDDDDD") as stranger, Client(prism) as owner:
        assert owner.page().status_code == 200
        refusals = [stranger.page() for _ in range(60)]
        assert {refused.status_code for refused in refusals} == {401}
        assert refusals[0].json() == {"code": 401, "error": "Please log in to your account"}
        assert owner.page().status_code == 401


def test_a_person_logs_in(prism: PhotoPrismStandIn, client: Client) -> None:
    wrong = {"username": "admin", "password": "wrong"}
    statuses = [client.post("session", json=wrong).status_code for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    with PhotoPrismStandIn(1) as other, Client(other) as there:
        reply = there.post("session", json={"username": "admin", "password": "insecure"}).json()
        with Client(other, reply["access_token"]) as person:
            page = person.page()
        assert page.headers["X-Preview-Token"] == reply["config"]["previewToken"]


def test_thumbnails_need_a_token_of_their_own(prism: PhotoPrismStandIn, client: Client) -> None:
    page = client.page(order="oldest")
    token, file_hash = page.headers["X-Preview-Token"], page.json()[0]["Hash"]

    def look(file_hash: str, token: str, size: str) -> tuple[int, str]:
        reply = requests.get(f"{prism.url}/api/v1/t/{file_hash}/{token}/{size}", timeout=10)
        return reply.status_code, reply.headers["Content-Type"]

    assert {look(file_hash, token, size) for size in SIZES} == {(200, "image/jpeg")}
    assert look(file_hash, "wrong", "fit_720") == (403, "image/svg+xml")
    assert look(file_hash, token, "fit_721") == (200, "image/svg+xml")
    assert look("0" * 40, token, "fit_720") == (200, "image/svg+xml")
    prism.library.photos[prism.uids[1]].files[0].on_disk = False
    assert look(page.json()[1]["Hash"], token, "fit_720") == (200, "image/svg+xml")
    assert prism.uids[1] not in client.uids()
    prism.access.renew_preview_tokens()
    assert look(file_hash, token, "fit_720") == (403, "image/svg+xml")


def test_a_thumbnail_fits_and_is_not_enlarged() -> None:
    with PhotoPrismStandIn(1, side=800) as prism, Client(prism) as client:
        page = client.page()
        path = f"t/{page.json()[0]['Hash']}/{page.headers['X-Preview-Token']}"
        sides = [
            Image.open(io.BytesIO(client.get(f"{path}/{size}").content)).size
            for size in ("fit_720", "tile_224", "fit_1920")
        ]
    assert sides == [(720, 720), (224, 224), (800, 800)]


def test_any_source_overwrites_any_other(either: PhotoPrismStandIn) -> None:
    """The indexer heeds ``SrcPriority``; saving a photo does not."""
    name = "Description" if either.library.api == "2024" else "Caption"
    uid = either.uids[0]
    either.edit(uid, "Grandma")
    with Client(either) as client:
        before = client.get(f"photos/{uid}").json()
        assert (before[name], before[f"{name}Src"]) == ("Grandma", "manual")
        after = client.put(f"photos/{uid}", json={name: "a cat", f"{name}Src": "image"}).json()
    assert (after[name], after[f"{name}Src"]) == ("a cat", "image")
    assert after["Title"] == before["Title"]
    priorities = PRIORITIES[either.library.api]
    assert priorities["manual"] > priorities["meta"] > priorities["image"] > priorities["name"]


def test_saving_approves_a_photo_in_review(prism: PhotoPrismStandIn, client: Client) -> None:
    photo = prism.library.photos[prism.uids[0]]
    photo.quality, photo.megapixels, photo.taken_src = 1, 0, ""
    client.put(f"photos/{photo.uid}", json={"Caption": "x", "CaptionSrc": "image"})
    assert photo.quality == 3
    assert client.get(f"photos/{photo.uid}").json()["EditedAt"]


def test_a_caption_without_a_source_is_lost(prism: PhotoPrismStandIn, client: Client) -> None:
    photo = prism.library.photos[prism.uids[0]]
    photo.title, photo.title_src = "", ""
    saved = client.put(f"photos/{photo.uid}", json={"Caption": "a red circle"}).json()
    assert (saved["Caption"], saved["Title"]) == ("", "Unknown / 2020")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"Caption": 7}, 400),
        ([], 400),
        ({"Caption": "x", "CaptionSrc": "vision-workers"}, 500),
        ({"Caption": "x" * 4097, "CaptionSrc": "image"}, 500),
    ],
)
def test_what_cannot_be_saved_is_refused(client: Client, body: object, status: int) -> None:
    uid = client.uids()[0]
    assert client.put(f"photos/{uid}", json=body).status_code == status
    assert client.get(f"photos/{uid}").json()["Caption"] == ""


def test_of_two_changes_at_once_one_is_lost(prism: PhotoPrismStandIn, client: Client) -> None:
    uid = prism.uids[0]
    prism.library.before_save[uid] = lambda: client.put(
        f"photos/{uid}", json={"Caption": "Grandma", "CaptionSrc": "manual"}
    )
    with Client(prism) as other:
        other.post(f"photos/{uid}/label", json={"Name": "cat"})
    assert prism.library.photos[uid].caption == ""
    assert prism.collisions == {uid: 1}


def test_a_label_is_manual_whoever_adds_it(either: PhotoPrismStandIn) -> None:
    uid = either.uids[0]
    with Client(either) as client:
        body = {"Name": "golden retriever", "Uncertainty": 20, "LabelSrc": "image"}
        reply = client.post(f"photos/{uid}/label", json=body).json()
        label_id = reply["Labels"][0]["LabelID"]
        assert either.labels(uid) == {"Golden Retriever": ("manual", 20)}
        # Which was possible until 2026.
        client.put(f"photos/{uid}/label/{label_id}", json={"LabelSrc": "image"})
        source = "image" if either.library.api == "2024" else "manual"
        assert either.labels(uid) == {"Golden Retriever": (source, 20)}
        client.delete(f"photos/{uid}/label/{label_id}")
        rejected = {"Golden Retriever": ("image", 100)} if source == "image" else {}
        assert either.labels(uid) == rejected
        assert client.delete(f"photos/{uid}/label/99").status_code == 404


def test_a_rejected_label_comes_back_if_somebody_adds_it(
    prism: PhotoPrismStandIn, client: Client
) -> None:
    uid = prism.uids[0]
    prism.library.add_label(uid, "cat", 100)
    client.post(f"photos/{uid}/label", json={"Name": "Cat", "Uncertainty": 30})
    assert prism.labels(uid) == {"Cat": ("manual", 30)}


def test_a_caption_brings_labels_that_are_known(prism: PhotoPrismStandIn, client: Client) -> None:
    uid, other, *_ = prism.uids
    prism.library.add_label(other, "Circle")
    client.put(f"photos/{uid}", json={"Caption": "a red circle", "CaptionSrc": "image"})
    assert prism.labels(uid) == {"Circle": ("caption", 20)}


def test_a_person_edits_between_two_steps_of_a_client(
    prism: PhotoPrismStandIn, client: Client
) -> None:
    uid = prism.uids[0]
    prism.after_read[uid] = lambda: prism.edit(uid, "Grandma")
    assert client.get(f"photos/{uid}").json()["Caption"] == ""
    assert client.get(f"photos/{uid}").json()["Caption"] == "Grandma"


def test_an_answer_gets_lost_after_the_change(prism: PhotoPrismStandIn, client: Client) -> None:
    prism.faults.lose_next = 1
    path, body = f"photos/{prism.uids[0]}", {"Caption": "a red circle", "CaptionSrc": "image"}
    with pytest.raises(requests.ConnectionError):
        client.put(path, json=body)
    assert client.get(path).json()["Caption"] == "a red circle"


def test_it_sleeps_and_a_proxy_is_busy(prism: PhotoPrismStandIn, client: Client) -> None:
    prism.faults.fail_next, prism.faults.fail_path = 1, "/photos"
    prism.faults.fail_status = HTTPStatus.TOO_MANY_REQUESTS
    prism.faults.retry_after = "2"
    assert client.get("status").status_code == 200
    busy = client.page()
    assert (busy.status_code, busy.headers["Retry-After"]) == (429, "2")
    prism.go_down()
    with pytest.raises(requests.ConnectionError):
        client.page()
    prism.come_back()
    assert client.uids(order="oldest") == prism.uids
    assert [request.status for request in prism.requests] == [200, 429, 200]
