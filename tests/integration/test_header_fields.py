"""Header fields as clients send them, and as replies have them."""

import pytest

from tests.integration.test_http import answer
from tests.raw_http import caption_request
from tests.stack import API, Stack

KEY = "sesame"
PATH = f"{API}/caption/fake"


@pytest.fixture(scope="module")
def base(stack: Stack) -> str:
    stack.worker("fake")
    return stack.api(VISION_API_KEYS=KEY)


@pytest.mark.parametrize("around", ["{}", "\t {}", "{} ", "{} \t\t "])
def test_blanks_around_a_value_do_not_belong_to_it(base: str, around: str) -> None:
    fields = {
        "Authorization": f"Bearer {KEY}",
        "X-Request-ID": "h1",
        "Origin": "http://localhost:3000",
        "X-Priority": "bulk",
    }
    lines = [f"{name}:{around.format(value)}" for name, value in fields.items()]
    whole = caption_request(PATH, *lines, "Connection: close")
    head, body = answer(base, whole)
    assert head.startswith(b"HTTP/1.1 200 "), body
    assert body["id"] == "h1"
    assert b"x-request-id: h1\r\n" in head
    assert b"access-control-allow-origin: http://localhost:3000\r\n" in head


@pytest.mark.parametrize("around", ["{}", "{} \t"])
def test_blanks_around_what_describes_a_body_do_not_belong_to_it(base: str, around: str) -> None:
    data = b"--b\r\nContent-Disposition: form-data; name=id\r\n\r\nform\r\n--b--\r\n"
    fields = {
        "Authorization": f"Bearer {KEY}",
        "Content-Type": "multipart/form-data; boundary=b",
        "Content-Length": str(len(data)),
        "Content-Encoding": "identity",
    }
    lines = [f"{name}: {around.format(value)}" for name, value in fields.items()]
    head = "\r\n".join([f"POST {PATH} HTTP/1.1", *lines, "Connection: close", "", ""])
    _, body = answer(base, head.encode() + data)
    assert body["id"] == "form"
