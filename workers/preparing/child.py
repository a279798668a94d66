"""A preparing process: decodes one image after the other until its pipe closes.

A spawned child imports this module first, so it must stay light.
"""

import os
import resource
import time
import traceback
from multiprocessing.connection import Connection

from PIL import Image

from shared.allocator import give_back_freed_memory, resident_bytes, retain_freed_memory
from shared.errors import ModelFailed, VisionError
from shared.images import check_header
from shared.parent import end_with_parent
from shared.units import MEGA
from workers.preparing.preparation import Prepared
from workers.preparing.protocol import Reply, Request, receive_request, send_hello, send_reply

BASE_BYTES = 1_500 * MEGA
BYTES_PER_PIXEL = 48
"""Of address space: what the most demanding formats were seen to need, which is 25 bytes per pixel
for JPEG 2000 and 640 MB for a JPEG over the limit, twice."""
LARGE_BYTES = 128 * MEGA
"""A process that holds more than that after an image returns what it does not use."""


def main(pipe: Connection, max_megapixels: float) -> None:
    """Prepare images; the process ends when the pipe closes."""
    end_with_parent()
    retain_freed_memory()
    limit = BASE_BYTES + int(max_megapixels * MEGA * BYTES_PER_PIXEL)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the picture of a stranger would be in it
    Image.preinit()  # Pillow's most frequent decoders, which it would import with the first image
    send_hello(pipe)
    while True:
        try:
            request, data = receive_request(pipe)
            began = time.perf_counter()
            reply, prepared = _prepare(request, data, max_megapixels)
            reply.seconds = time.perf_counter() - began
            del data
            if resident_bytes() > LARGE_BYTES:
                give_back_freed_memory()
            reply.resident = resident_bytes()
            send_reply(pipe, reply, prepared.content)
        except (EOFError, OSError):
            os._exit(0)


def _prepare(request: Request, data: bytes, max_megapixels: float) -> tuple[Reply, Prepared]:
    nothing = Prepared(b"")
    try:
        if request.most_megapixels is not None:
            width, height = check_header(data, max_megapixels)
            if width * height > request.most_megapixels * MEGA:
                return Reply(too_large=True), nothing
        # Step 5 of a request's way: decode and resize.
        prepared = request.preparation.run(data, max_megapixels)
    except VisionError as err:
        return Reply(error=type(err).__name__, message=err.message), nothing
    except Exception:  # noqa: BLE001 - the worker logs it
        error = ModelFailed("The image could not be prepared; see the worker's log.")
        reply = Reply(error=type(error).__name__, message=error.message)
        reply.bug = traceback.format_exc(limit=-8)
        return reply, nothing
    reply = Reply(width=prepared.width, height=prepared.height, whole=prepared.whole)
    return reply, prepared
