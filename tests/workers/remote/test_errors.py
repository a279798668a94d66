"""Whose fault an error is, by its status and by the words in which servers put it."""

import pytest

from workers.remote.errors import ServerError

OF_THE_REQUEST = [
    (400, "anything"), (413, ""), (415, ""), (422, "Unprocessable Entity"),
    (500, "height:27 or width:257 must be larger than factor:28"),
    (500, "llama runner: panic: height:30 or width:305 must be larger than factor:32"),
    (500, "absolute aspect ratio must be smaller than 200, got 300"),
    (500, "image aspect ratio 250 exceeds 200"), (500, "image too small"),
    (500, "image is too large"), (500, "the image is under 28 px"), (None, "invalid image input"),
    (500, "Failed to load image or audio file"), (500, "unable to decode image"),
    (500, "Failed to create new sequence: failed to process inputs: image: unknown format"),
    (500, "decode WebP image: riff: missing RIFF chunk header"), (500, "invalid image size 0x8"),
    (500, "this model is missing data required for image input"),
    (500, "this model only supports one image while more than one image requested"),
    (500, "exceeds the available context size, try increasing it"),
    (500, 'invalid format: "x"; expected "json" or a valid JSON Schema object'),
    (None, "input is too long"), (500, '"llava" does not support thinking'),
]  # fmt: skip
OF_THE_SERVER = [
    (500, "llama runner process has terminated: exit status 2"), (500, "internal server error"),
    (500, "model runner has unexpectedly stopped, this may be due to resource limitations"),
    (500, "CUDA error: out of memory while the image was processed"), (502, "Bad Gateway"),
    (500, "model requires more system memory (5.6 GiB) than is available"), (503, "server busy"),
    (500, "timed out waiting for llama runner to start"), (None, "unexpected EOF"), (429, "slow"),
    (500, 'Post "http://127.0.0.1:36365/completion": EOF'), (500, ""), (None, "error"), (404, "x"),
    (500, "failed to load image encoder: cudaMalloc failed: out of memory"), (401, "unauthorized"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "message"), OF_THE_REQUEST)
def test_errors_about_the_request(status: int | None, message: str) -> None:
    assert ServerError(message, status).is_about_request


@pytest.mark.parametrize(("status", "message"), OF_THE_SERVER)
def test_errors_of_the_server(status: int | None, message: str) -> None:
    assert not ServerError(message, status).is_about_request
