"""The task ``face``: embeddings of faces, by which PhotoPrism recognises people.

PhotoPrism finds and cuts out the faces of a photo itself, and assigns the embeddings to them by
their positions (package ``internal/ai/vision``, function ``applyEndpointEmbeddings``, October
2026). A face whose entry is empty stays without one, in older versions, too.
"""

from collections.abc import Sequence

from shared.tasks.registry import TaskSpec

Embeddings = tuple[tuple[float, ...], ...]
"""Of one face: one vector of length 1, or nothing. PhotoPrism refuses any other number."""


def _one_each(answers: Sequence[Embeddings | None]) -> tuple[Embeddings, ...]:
    """Return one entry per image, in order; an empty one where the model gave none."""
    return tuple(answer or () for answer in answers)


def _nothing(_reason: str) -> Embeddings:
    return ()


def _text(faces: tuple[Embeddings, ...]) -> str:
    return f"{sum(map(bool, faces))} of {len(faces)} faces embedded"


MAX_FACES = 256
"""In one request are all faces of a photo, each some 160 x 160 pixels. Were a photo of many people
refused, PhotoPrism would not even note where the faces are."""

SPEC = TaskSpec(
    name="face",
    max_images=MAX_FACES,
    field_name="embeddings",
    payload=tuple[Embeddings, ...],
    combine=_one_each,
    as_text=_text,
    for_unreadable=_nothing,
    is_structured=True,
    on_base_route=False,
    advice=(
        "To embed faces here, run a face model: see `Faces` in docs/models.md. Or have PhotoPrism "
        "do it: unset PHOTOPRISM_VISION_URI, which makes it send faces, and name this service as "
        "`Uri` of the models in vision.yml."
    ),
)
