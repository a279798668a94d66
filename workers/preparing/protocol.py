"""Messages on the pipe between a worker and a preparing process: JSON, and bytes as they are.

No pickle: the process decodes what strangers sent, and must not be able to send the worker objects
that run code. The process says once that it is up. Then each ``Request`` is followed by one frame
with the image file, and each ``Reply`` that has content by one with that.
"""

from multiprocessing.connection import Connection

from pydantic import BaseModel, Field

from workers.preparing.preparation import Preparation, Prepared

HELLO = b"up"
MAX_REPLY_BYTES = 64 * 1024
"""Of a reply without its content."""


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
    seconds: float = Field(0.0, description="how long it took to prepare the image")
    resident: int = Field(0, description="bytes of memory that the process holds now")

    @property
    def has_content(self) -> bool:
        """Whether a frame with the content follows."""
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
    pipe.recv_bytes(MAX_REPLY_BYTES)


def send_request(pipe: Connection, request: Request, data: bytes) -> None:
    """Send an image file."""
    pipe.send_bytes(request.model_dump_json().encode())
    pipe.send_bytes(data)


def receive_request(pipe: Connection) -> tuple[Request, bytes]:
    """Wait for an image file.

    Raises:
        EOFError: the parent is gone.
    """
    return Request.model_validate_json(pipe.recv_bytes()), pipe.recv_bytes()


def send_reply(pipe: Connection, reply: Reply, content: bytes) -> None:
    """Send what became of an image."""
    pipe.send_bytes(reply.model_dump_json().encode())
    if reply.has_content:
        pipe.send_bytes(content)


def receive_reply(pipe: Connection, most_bytes: int) -> tuple[Reply, Prepared]:
    """Wait for what became of an image, of ``most_bytes`` at most.

    Raises:
        EOFError: the child is gone.
        OSError: the child is gone, or its reply is too long.
        ValueError: it is no reply.
    """
    reply = Reply.model_validate_json(pipe.recv_bytes(MAX_REPLY_BYTES))
    content = pipe.recv_bytes(most_bytes) if reply.has_content else b""
    if reply.width * reply.height * 3 not in (0, len(content)):
        msg = f"{len(content)} bytes for {reply.width} x {reply.height} pixels"
        raise ValueError(msg)
    return reply, Prepared(content, reply.width, reply.height, reply.seconds)
