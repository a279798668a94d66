"""Decodes mutated files of the corpus; run as a program, so that a crash is seen from outside.

    python -m tests.shared.images.fuzz 2000 1

Prints how many files were decoded and how many were refused; any other error ends it.
"""

import random
import resource
import sys
import warnings
from collections.abc import Iterator

from shared.errors import VisionError
from shared.images import check_header, decode_rgb
from shared.units import MEGA
from tests.shared.images.corpus import CORPUS

LIMIT = 2.0
"""Megapixels: what claims to be larger is refused or reduced, as in the service."""
MEMORY = 2_000 * MEGA
"""Address space; what needs more raises MemoryError."""


def mutated_files(count: int, seed: int) -> Iterator[bytes]:
    """Yield files with bytes changed, lost, doubled or taken from another file."""
    source = random.Random(seed)  # noqa: S311 - repeatable, nothing is secret
    files = [case.make() for case in CORPUS]
    for _ in range(count):
        data = bytearray(source.choice(files))
        for _ in range(source.choice((1, 1, 2, 4, 16))):
            _mutate(data, source, source.choice(files))
        yield bytes(data)


def _mutate(data: bytearray, source: random.Random, other: bytes) -> None:
    # Headers decide most, so most changes are there.
    place = source.randrange(max(1, min(len(data), source.choice((64, 512, len(data))))))
    end = min(len(data), place + source.randrange(1, 9))
    match source.randrange(10):
        case 0:
            del data[source.randrange(len(data) // 2, len(data) + 1) :]
        case 1:
            del data[place:end]
        case 2:
            data[place:place] = data[place:end]
        case 3:
            data[place:end] = other[place:end]
        case 4:
            data[place:end] = source.choice((b"\xff", b"\0", b"\x7f")) * (end - place)
        case _:
            data[place : place + 1] = bytes([source.randrange(256)])


def main(count: int, seed: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    decoded = refused = 0
    for data in mutated_files(count, seed):
        try:
            check_header(data, LIMIT)
            image = decode_rgb(data, LIMIT)
        except VisionError:
            refused += 1
        else:
            assert image.mode == "RGB"
            decoded += 1
    print(decoded, refused)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
