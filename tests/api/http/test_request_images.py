"""The images of requests: their encodings, number and size."""

import base64
import math
import re
from collections.abc import Callable
from urllib.parse import quote_from_bytes

import pytest

from api.http import base64_text
from api.http.client_connection import ClientGone, client_of, nobody_waits
from api.http.request_images import read_images
from api.http.request_parsing import ParsedRequest, check_input
from api.schemas import VisionRequest
from shared.errors import (
    BadRequest,
    DeadlineExceeded,
    ImageFetchFailed,
    TooLarge,
    UndecodableImage,
    VisionError,
)
from shared.images.several import ReadImages
from shared.settings import Settings
from shared.tasks import CAPTION, FACE
from tests.api.http.pictures import BASE64, PNG, picture
from tests.api.http.web_server import Site

SETTINGS = Settings(max_images=5, max_megapixels=1, url_allow=())


def read(*sources: str, uploads: tuple[bytes, ...] = (), url: str = "") -> ReadImages[bytes]:
    parsed = ParsedRequest(VisionRequest(images=sources, url=url), uploads)
    return read_images(parsed, (CAPTION,), SETTINGS, math.inf, client_of({}))


def images_of(*sources: str, uploads: tuple[bytes, ...] = (), url: str = "") -> list[bytes]:
    return list(read(*sources, uploads=uploads, url=url).all_images())


def test_the_base64_of_the_sample_differs_between_the_alphabets() -> None:
    assert all(sign in BASE64 for sign in "+/=")


def test_a_photo_of_many_people_has_more_faces_than_a_request_has_photos() -> None:
    parsed = ParsedRequest(VisionRequest(images=(BASE64,) * 256), ())
    too_many = ParsedRequest(VisionRequest(images=(BASE64,) * 257), ())

    def number(parsed: ParsedRequest, task: str) -> int:
        return len(read_images(parsed, (task,), SETTINGS, math.inf, client_of({})).images)

    assert number(parsed, FACE) == 256
    with pytest.raises(TooLarge, match="There are 256 images; the limit is 5"):
        number(parsed, CAPTION)
    with pytest.raises(TooLarge, match="There are 257 images; the limit is 256"):
        number(too_many, FACE)


WAYS = [
    pytest.param(f"data:image/png;base64,{BASE64}", id="data-url"),
    pytest.param(f"data:;base64,{BASE64}", id="data-url-without-type"),
    pytest.param(f"DATA:image/PNG;BASE64,{BASE64}", id="data-url-in-capitals"),
    pytest.param(f"data:image/png;name=a.png;charset=utf-8;base64,{BASE64}", id="parameters"),
    pytest.param(
        f"data:image/png;base64,{quote_from_bytes(BASE64.encode(), safe='')}",
        id="base64-and-percent-encoded",
    ),
    pytest.param(BASE64, id="bare"),
    pytest.param(BASE64.rstrip("="), id="without-padding"),
    pytest.param(base64.urlsafe_b64encode(PNG).decode(), id="url-safe-alphabet"),
    pytest.param(base64.encodebytes(PNG).decode(), id="line-breaks"),
    pytest.param(base64.encodebytes(PNG).decode().replace("\n", "\r\n\t"), id="mail-breaks"),
]


@pytest.mark.parametrize("source", WAYS)
def test_an_image_may_be_written_in_many_ways(source: str) -> None:
    assert images_of(source) == [PNG]


@pytest.mark.parametrize("piece", range(3, 12))
@pytest.mark.parametrize("source", WAYS)
def test_it_makes_no_difference_where_the_text_is_cut_into_pieces(
    monkeypatch: pytest.MonkeyPatch, source: str, piece: int
) -> None:
    monkeypatch.setattr(base64_text, "PIECE", piece)
    assert images_of(source) == [PNG]
    for end in ("=", "====", "\n", "=\n="):  # however much padding there is
        assert images_of(source + end) == [PNG]
    with pytest.raises(BadRequest):
        images_of(f"{source}===={source}")


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("a cat!", id="words"),
        pytest.param("Katze über Bord", id="not-ascii"),
        pytest.param("AAAAA", id="impossible-length"),
        pytest.param("AAAA=AAAA", id="padding-in-the-middle"),
        pytest.param("AA$A", id="foreign-character"),
        pytest.param("/photos/cat.jpg", id="path"),
        pytest.param("ftp://example.com/cat.jpg", id="ftp"),
        pytest.param("file:///etc/passwd", id="file"),
        pytest.param("data:image/png;base64", id="data-url-without-comma"),
        pytest.param("data:image/png;base64,***", id="data-url-with-junk"),
    ],
)
def test_what_is_neither_url_nor_base64_is_a_bad_request(source: str) -> None:
    with pytest.raises(BadRequest):
        images_of(source)


@pytest.mark.parametrize("source", [BASE64[:40], "", "AAAA"])
def test_what_decodes_to_no_image_is_undecodable(source: str) -> None:
    with pytest.raises(UndecodableImage):
        images_of(source)


def test_images_keep_their_order() -> None:
    upload, first, second = picture(1), picture(2), picture(3)
    sources = [base64.b64encode(image).decode() for image in (first, second)]

    assert images_of(*sources, uploads=(upload,)) == [upload, first, second]


def test_a_data_url_may_stand_in_the_field_url_too() -> None:
    assert images_of(url=f"data:image/png;base64,{BASE64}") == [PNG]


def test_without_an_image_the_message_says_how_to_send_one() -> None:
    with pytest.raises(BadRequest, match=r"There is no image.*`images`.*`url`"):
        check_input([CAPTION], "", images_of())


def test_more_images_than_allowed_are_too_large_whatever_they_are() -> None:
    with pytest.raises(TooLarge, match="There are 6 images; the limit is 5"):
        images_of(*["http://127.0.0.1:1/"] * 3, "junk", uploads=(PNG,), url="http://127.0.0.1:1/")


def test_an_image_with_too_many_pixels_is_too_large() -> None:
    with pytest.raises(TooLarge, match="1001 x 1001 pixels"):
        images_of(base64.b64encode(picture(side=1001)).decode())


@pytest.mark.parametrize("source", ["data:,", "data:image/svg+xml,%3Csvg%3E"])
def test_a_data_url_that_is_not_base64_is_refused(source: str) -> None:
    with pytest.raises(BadRequest, match="not base64"):
        images_of(source)


class AClient:
    """A client that may have closed its connection; keeps what memory was wanted for it."""

    def __init__(self, *, is_gone: bool = False) -> None:
        self.is_gone, self.wanted = is_gone, list[int]()
        self.when_gone: Callable[[], object] = nobody_waits
        self.hold: Callable[[int], object] = self.wanted.append


def test_nothing_is_fetched_for_a_disconnected_client_or_after_the_deadline() -> None:
    parsed = ParsedRequest(VisionRequest(images=("http://127.0.0.1:1/",)), ())
    with pytest.raises(ClientGone):
        read_images(parsed, (CAPTION,), SETTINGS, math.inf, AClient(is_gone=True))
    with pytest.raises(DeadlineExceeded):
        read_images(parsed, (CAPTION,), SETTINGS, 0, client_of({}))


def test_memory_is_held_for_all_that_is_fetched(site: Site) -> None:
    client, settings = AClient(), Settings(url_allow=("127.0.0.1",))
    parsed = ParsedRequest(VisionRequest(images=[site.url("length/600000")] * 2), (PNG,))
    assert len(read_images(parsed, (CAPTION,), settings, math.inf, client).faults) == 2
    first, *_, last = client.wanted
    assert client.wanted == sorted(client.wanted)
    assert first < 400_000
    assert 2 * 600_000 <= last < 2 * 600_000 + 300_000


LARGE = base64.b64encode(picture(side=1001)).decode()
BAD_IMAGES = [
    pytest.param("", UndecodableImage, "is empty", id="empty"),
    pytest.param("data:image/jpeg;base64,", UndecodableImage, "is empty", id="empty-data-url"),
    pytest.param("AAAA", UndecodableImage, "not an image", id="no-image"),
    pytest.param(BASE64[:40], UndecodableImage, "header is damaged|not an image", id="cut-off"),
    pytest.param(LARGE, TooLarge, "1001 x 1001 pixels", id="too-large"),
    pytest.param("?", BadRequest, "nor valid base64", id="no-base64"),
    pytest.param("data:,", BadRequest, "not base64", id="data-url"),
    pytest.param("http://127.0.0.1:1/", ImageFetchFailed, "private address", id="url"),
]


@pytest.mark.parametrize(("bad", "error", "reason"), BAD_IMAGES)
def test_a_bad_image_among_others_is_left_out_with_the_reason(
    bad: str, error: type[VisionError], reason: str
) -> None:
    found = read(BASE64, bad, BASE64, bad, uploads=(b"",))

    assert found.images == (PNG, PNG)
    assert list(found.unreadable) == [0, 2, 4]
    assert re.search(reason, found.unreadable[2])
    assert type(found.faults[2]) is error


@pytest.mark.parametrize(("bad", "error", "reason"), BAD_IMAGES)
def test_if_no_image_is_left_the_first_fault_is_the_error(
    bad: str, error: type[VisionError], reason: str
) -> None:
    for sources in ((bad,), (bad, bad), (bad, "", "?")):
        with pytest.raises(error, match=reason):
            read(*sources)
