"""Messages on the pipe between a worker and a preparing process: JSON, and bytes as they are.

No pickle: the process decodes what strangers sent, and must not be able to send the worker objects
that run code. The process says once that it is up. With each ``Request`` goes the image file, and
with each ``Reply`` that has content goes that.
"""

from multiprocessing.connection import Connection

from pydantic import BaseModel, Field

from workers.preparing.frames import receive, send
from workers.preparing.preparation import Preparation, Prepared

HELLO = b"up"
MAX_HELLO_BYTES = 64


class Request(BaseModel):
    """Prepare the image that follows."""

    preparation: Preparation
    most_megapixels: float | None = Field(
        None, description="send a larger image back undone; it is for another process"
    )


class Reply(BaseModel):
    """What became of an image."""

    too_large: bool = Field(default=False, description="sent back, because of `most_megapixels`")
    error: str = Field("", description="name of a class in shared.errors; empty: none")
    message: str = Field("", description="of the error")
    bug: str = Field("", description="where an error came from that the image is no cause of")
    width: int = 0
    height: int = 0
    whole: tuple[int, int] = (0, 0)
    seconds: float = Field(0.0, description="how long it took to prepare the image")
    resident: int = Field(0, description="bytes of memory that the process holds now")

    @property
    def has_content(self) -> bool:
        """Whether the content goes with it."""
        return not (self.error or self.too_large)


def send_hello(pipe: Connection) -> None:
    """Say that this process is up."""
    pipe.send_bytes(HELLO)


def receive_hello(pipe: Connection, timeout_s: float) -> None:
    """Wait until a process is up.

    Raises:
        EOFError: it has ended.
        OSError: it has ended, or is not up in time.
    """
    if not pipe.poll(timeout_s):
        msg = f"nothing was heard of it for {timeout_s:g} s"
        raise OSError(msg)
    pipe.recv_bytes(MAX_HELLO_BYTES)


def send_request(pipe: Connection, request: Request, data: bytes) -> None:
    """Send an image file."""
    send(pipe, request, [data])


def receive_request(pipe: Connection) -> tuple[Request, bytes]:
    """Wait for an image file.

    Raises:
        EOFError: the parent is gone.
    """
    text, (data,) = receive(pipe)
    return Request.model_validate_json(text), data


def send_reply(pipe: Connection, reply: Reply, content: bytes) -> None:
    """Send what became of an image."""
    send(pipe, reply, [content] if reply.has_content else [])


def receive_reply(pipe: Connection, most_bytes: int) -> tuple[Reply, Prepared]:
    """Wait for what became of an image, of ``most_bytes`` at most.

    Raises:
        EOFError: the child is gone.
        OSError: the child is gone, or its reply is too long.
        ValueError: it is no reply.
    """
    text, contents = receive(pipe, most_bytes)
    reply = Reply.model_validate_json(text)
    content = b"".join(contents)
    if reply.width * reply.height * 3 not in (0, len(content)):
        msg = f"{len(content)} bytes for {reply.width} x {reply.height} pixels"
        raise ValueError(msg)
    return reply, Prepared(content, reply.width, reply.height, reply.seconds, reply.whole)
