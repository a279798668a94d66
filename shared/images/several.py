"""Reads the images of a request, of which some may be bad."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

import structlog

from shared.errors import BadRequest, ImageFetchFailed, TooLarge, UndecodableImage, VisionError

log = structlog.get_logger(__name__)

T = TypeVar("T")
Source = TypeVar("Source")
_FAULTS_OF_AN_IMAGE = (BadRequest, ImageFetchFailed, TooLarge, UndecodableImage)


class ReadImages(NamedTuple, Generic[T]):
    """The images of a request that could be read, in order, and what is wrong with the others."""

    images: tuple[T, ...] = ()
    faults: Mapping[int, VisionError] = MappingProxyType({})
    """By the image's position among all."""

    @property
    def unreadable(self) -> dict[int, str]:
        """Why the other images could not be read, by their positions among all."""
        return {position: fault.message for position, fault in self.faults.items()}

    def all_images(self) -> tuple[T, ...]:
        """Return the images if all of them could be read.

        Raises:
            VisionError: the first fault.
        """
        for fault in self.faults.values():
            raise fault
        return self.images


def read_each(read: Callable[[Source], T], sources: Iterable[Source]) -> ReadImages[T]:
    """Read images one by one; a bad one does not keep the others from being used.

    Raises:
        VisionError: the first fault, if no image can be read.
    """
    images: list[T] = []
    faults: dict[int, VisionError] = {}
    for position, source in enumerate(sources):
        try:
            images.append(read(source))
        except _FAULTS_OF_AN_IMAGE as err:
            faults[position] = err
    found = ReadImages(tuple(images), faults)
    if faults and not images:
        found.all_images()
    for position, reason in found.unreadable.items():
        log.warning("image left out", position=position, reason=reason)
    return found
