"""A stand-in for PhotoPrism's REST API: a library of generated photos, kept in memory.

It follows the Go source of PhotoPrism, of which there are two states here:

- ``api="2024"``: commit 382ffa899 of 13 December 2024, read as a whole.
- ``api="2026"``, the default: the same, with what is known of later files: the fields ``Caption``
  and ``CaptionSrc`` (February 2025; ``Description`` before), ``internal/entity/src.go`` and
  ``photo.go`` of the end of 2025, ``internal/api/photo_label.go`` and ``internal/form/label.go``
  of summer 2026.

It has authentication, search with its filters and paging, photos, labels and thumbnails, and what
saving does besides: labels from captions, automatic titles, quality. It has no places, people,
albums and cameras; a filter that it does not know is answered with 501. A photo shows one coloured
shape, which ``tests/checkpoints`` can describe.

    with PhotoPrismStandIn(500) as prism:
        prism.url, prism.token, prism.uids, prism.caption(prism.uids[0])

What tests can set, also while it runs: ``prism.faults`` (errors, delays), ``prism.go_down()`` and
``prism.come_back()``, ``prism.after_read[uid]`` (what happens between the read of a photo and what
its reader does next), ``prism.access`` (tokens, scopes, public mode), and all rows in
``prism.library``.
"""

from tests.photoprism_standin.access import Session
from tests.photoprism_standin.faults import Faults
from tests.photoprism_standin.rows import File, Photo, PhotoLabel
from tests.photoprism_standin.server import PhotoPrismStandIn
from tests.photoprism_standin.sources import PRIORITIES

__all__ = ["PRIORITIES", "Faults", "File", "Photo", "PhotoLabel", "PhotoPrismStandIn", "Session"]
