"""The encoded images of a request: uploaded, in base64, or fetched by URL."""

import time
from collections.abc import Callable, Iterable, Sequence

from api.http.base64_text import decode_image
from api.http.client_connection import Client, ClientGone
from api.http.fetch import fetch
from api.http.fetch_connection import AllowList
from api.http.request_parsing import ParsedRequest
from shared.errors import BadRequest, DeadlineExceeded, TooLarge
from shared.images import check_header
from shared.images.several import ReadImages, read_each
from shared.settings import Settings
from shared.tasks.registry import Task, find_task
from shared.units import MEGA


def decode_images(sources: object, settings: Settings) -> ReadImages[bytes]:
    """Return the encoded images of a list of base64 strings; ``None`` means no images.

    Raises:
        BadRequest: not a list of strings, or none of them is base64.
        TooLarge: all images have too many pixels.
        UndecodableImage: none of the decoded bytes are an image.
    """
    if sources is None:
        return ReadImages()
    if not isinstance(sources, list) or not all(isinstance(source, str) for source in sources):
        raise BadRequest("`images` is not a list of base64 strings.")

    def read(source: str) -> bytes:
        image = decode_image(source)
        check_header(image, settings.max_megapixels)
        return image

    return read_each(read, sources)


def read_images(
    parsed: ParsedRequest,
    tasks: Iterable[Task],
    settings: Settings,
    deadline: float,
    client: Client,
) -> ReadImages[bytes]:
    """Return the encoded images of a request, in order; those given as URLs are fetched.

    Args:
        parsed: the request.
        tasks: what is to be done with the images; some tasks may have more of them.
        settings: as of :func:`read_sources`.
        deadline: likewise.
        client: likewise.

    Raises:
        ClientGone, DeadlineExceeded, VisionError: as :func:`read_sources`.
    """
    sources: list[str | bytes] = [*parsed.uploads, *parsed.body.images]
    if parsed.body.url:
        sources.append(parsed.body.url)
    most = max([settings.max_images, *(find_task(task).max_images for task in tasks)])
    return read_sources(sources, most, settings, deadline, client)


def read_sources(
    sources: Sequence[str | bytes],
    most: int,
    settings: Settings,
    deadline: float,
    client: Client,
) -> ReadImages[bytes]:
    """Return the encoded images from data URLs, base64, http(s) URLs, or as they are, in order.

    An image that cannot be read does not keep the others from being used.

    Args:
        sources: one for each image.
        most: how many there may be.
        settings: limits; all images together may be as large as a body.
        deadline: when the request must be answered, in seconds since the epoch.
        client: who waits for them; what is fetched for it takes memory beside its request.

    Raises:
        ClientGone, DeadlineExceeded: the client or the time is gone before all were fetched.
        Overloaded: there is no memory for what is to be fetched.
        VisionError: there are too many images, or none can be read: the first one's fault.
    """
    if len(sources) > most:
        raise TooLarge(f"There are {len(sources)} images; the limit is {most}.")
    left_mb, fetched = settings.max_body_mb, 0

    def read(source: str | bytes) -> bytes:
        nonlocal left_mb, fetched
        if isinstance(source, bytes):
            image = source
        elif source[:8].lower().startswith(("http://", "https://")):
            if client.is_gone:
                raise ClientGone
            before = fetched
            image = _fetch(
                source, settings, left_mb, deadline, lambda size: client.hold(before + size)
            )
            fetched += len(image)
        else:
            image = decode_image(source)
        left_mb -= len(image) / MEGA
        check_header(image, settings.max_megapixels)
        return image

    return read_each(read, sources)


def _fetch(
    url: str, settings: Settings, max_mb: float, deadline: float, hold: Callable[[int], object]
) -> bytes:
    left_s = deadline - time.time()
    if left_s <= 0:
        raise DeadlineExceeded("The time limit was reached before all images were fetched.")
    return fetch(
        url,
        allow=AllowList(settings.url_allow),
        max_mb=max_mb,
        timeout_s=min(settings.fetch_timeout_s, left_s),
        ca_path=settings.extra_ca_certificates[1],
        hold=hold,
    )
