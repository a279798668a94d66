"""Clients: requests of all kinds, each with an image of its own by which its answer is checked."""

import base64
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.conftest import data_url, plain
from tests.stack import API

MODEL = "fake"
"""It answers the colour of an image."""
TIMEOUT_S = 330.0
"""Of a connection: longer than the default deadline of a request."""
PATIENCE_S = 600.0
"""How long a client tries again after 429; PhotoPrism does so for ten minutes."""
FAILED_S = 0.5
"""How long a client waits after it could not connect, or lost its connection."""
JSON = {"Content-Type": "application/json"}
BOUNDARY = "prove-boundary"


class Shot(NamedTuple):
    """A request, and the text that its answer has to contain."""

    path: str
    headers: dict[str, str]
    body: bytes
    expected: str


class Reply(NamedTuple):
    """What came back; ``status`` 0: no reply, and ``text`` says why."""

    status: int
    text: str
    retry_after_s: float | None
    seconds: float


@dataclass
class Tally:
    """What became of many requests."""

    right: int = 0
    wrong: list[str] = field(default_factory=list)
    """Answers that do not fit their images."""
    failed: Counter[str] = field(default_factory=Counter)
    """Requests without an answer by status and reason."""
    refusals: int = 0
    """Replies with 429, after each of which the client waited as told and asked again."""
    seconds: list[float] = field(default_factory=list)
    """From the first attempt to the answer, of each request that was answered rightly."""

    @property
    def lost(self) -> int:
        """Requests that were answered wrongly or not at all."""
        return len(self.wrong) + self.failed.total()

    def complaints(self, what: str) -> list[str]:
        """Return what is wrong, as sentences."""
        kinds = [f"{what}: {count} times {reason}" for reason, count in self.failed.most_common(5)]
        return kinds + [f"{what}: wrong answer: {text}" for text in self.wrong[:3]]


def colour_of(number: int) -> tuple[int, int, int]:
    """Return the colour that belongs to a request's number; no two share one."""
    return number % 200, number // 200 % 256, number // 51_200 % 256


def mixed_shot(number: int) -> Shot:
    """Return a request whose kind follows from its number."""
    colour = colour_of(number)
    return _KINDS[number % len(_KINDS)](plain(*colour), "rgb {} {} {}".format(*colour))


def heavy_shot(number: int, size: int) -> Shot:
    """Return a request with an image of about ``size`` bytes: pixels, and what follows them."""
    colour = colour_of(number)
    image = plain(*colour)
    return _as_image(image + bytes(size - len(image)), "rgb {} {} {}".format(*colour))


def send(connection: HTTPConnection, shot: Shot) -> Reply:
    """Send a request once."""
    started = time.monotonic()
    try:
        connection.request("POST", shot.path, shot.body, shot.headers)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    except (OSError, HTTPException) as err:
        connection.close()
        return Reply(0, f"{type(err).__name__}: {err}", None, time.monotonic() - started)
    wait = answer.headers.get("Retry-After")
    seconds = time.monotonic() - started
    return Reply(answer.status, text, float(wait) if wait else None, seconds)


def patiently(
    base: str, shot: Shot, tally: Tally, lock: threading.Lock, timeout_s: float = TIMEOUT_S
) -> Reply:
    """Send a request until it is answered, obeying ``Retry-After``, and count what comes of it.

    Each attempt has a connection of its own, as with most clients of such services.
    """
    started = time.monotonic()
    while True:
        with closing(connect(base, timeout_s)) as connection:
            reply = send(connection, shot)
        told_to_wait = reply.status == 429 and reply.retry_after_s is not None
        with lock:
            if not told_to_wait or time.monotonic() - started > PATIENCE_S:
                _count(tally, shot, reply, time.monotonic() - started)
                return reply
            tally.refusals += 1
        time.sleep(reply.retry_after_s or 0)


def run(base: str, shots: Iterable[Shot], clients: int) -> Tally:
    """Have so many clients send the requests, each one after the other, until all are answered."""
    tally, lock, source = Tally(), threading.Lock(), _shared(shots)
    threads = [
        threading.Thread(target=_work, args=(base, source, tally, lock)) for _ in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally


def connect(base: str, timeout_s: float = TIMEOUT_S) -> HTTPConnection:
    """Return a connection, which opens with the first request."""
    return HTTPConnection(urlsplit(base).netloc, timeout=timeout_s)


def _work(base: str, source: Iterator[Shot], tally: Tally, lock: threading.Lock) -> None:
    for shot in source:
        if patiently(base, shot, tally, lock).status == 0:
            time.sleep(FAILED_S)


def _count(tally: Tally, shot: Shot, reply: Reply, seconds: float) -> None:
    if reply.status != 200:
        tally.failed[f"{reply.status} {reply.text[:160]}"] += 1
    elif shot.expected not in reply.text:
        tally.wrong.append(f"{shot.path}: {reply.text[:160]} for {shot.expected}")
    else:
        tally.right += 1
        tally.seconds.append(seconds)


def _shared(shots: Iterable[Shot]) -> Iterator[Shot]:
    """Return an iterator that several threads may use."""
    lock, iterator = threading.Lock(), iter(shots)

    def take() -> Shot | None:
        with lock:
            return next(iterator, None)

    return iter(take, None)


def _as_json(image: bytes, expected: str) -> Shot:
    body = json.dumps({"images": [data_url(image)]}).encode()
    return Shot(f"{API}/caption/{MODEL}", JSON, body, expected)


def _as_labels(image: bytes, expected: str) -> Shot:
    body = json.dumps({"images": [base64.b64encode(image).decode()]}).encode()
    return Shot(f"{API}/labels/{MODEL}", JSON, body, expected)


def _as_image(image: bytes, expected: str) -> Shot:
    return Shot(f"{API}/caption/{MODEL}", {"Content-Type": "image/png"}, image, expected)


def _as_form(image: bytes, expected: str) -> Shot:
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    )
    body = head.encode() + image + f"\r\n--{BOUNDARY}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    return Shot(f"{API}/caption/{MODEL}", headers, body, expected)


def _as_generate(image: bytes, expected: str) -> Shot:
    body = {"model": MODEL, "stream": False, "images": [base64.b64encode(image).decode()]}
    return Shot("/api/generate", JSON, json.dumps(body).encode(), expected)


def _as_chat(image: bytes, expected: str) -> Shot:
    message = {"role": "user", "content": "?", "images": [base64.b64encode(image).decode()]}
    body = {"model": MODEL, "stream": False, "messages": [message]}
    return Shot("/api/chat", JSON, json.dumps(body).encode(), expected)


_KINDS: Sequence[Callable[[bytes, str], Shot]] = (
    _as_json, _as_labels, _as_image, _as_form, _as_generate, _as_chat,
)  # fmt: skip
