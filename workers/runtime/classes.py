"""From class probabilities to answers: labels, a caption composed of them, an NSFW verdict."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from pydantic import Field

from shared.tasks.caption import Caption
from shared.tasks.labels import Label
from shared.tasks.nsfw import Nsfw, judge
from shared.units import clamp01
from workers.model.family import FamilyParameters
from workers.runtime.imagenet import ImageNetClass

SAFE_CLASSES = frozenset({"Neutral", "Drawing"})
NSFW_CLASSES = SAFE_CLASSES | {"Hentai", "Porn", "Sexy"}
CERTAIN = 0.5
"""Probability from which one class, or the sum of a category, is taken as seen."""
MAX_CAPTION_LABELS = 3


class LabelParameters(FamilyParameters):
    """How labels are chosen: confidences are from 0 to 1."""

    min_confidence: float = 0.2
    most_labels: int = 8


def labels_from_classes(
    probabilities: Sequence[float], classes: Sequence[ImageNetClass], rules: LabelParameters
) -> tuple[Label, ...]:
    """Choose labels from the probabilities of all classes, most confident first.

    The probability of one object is spread over similar classes (tiger cat, Egyptian cat, tabby
    cat). Where the classes of a category are certain together but none of them is alone, the most
    specific such category becomes a label too.

    Topicality is the confidence relative to that of the best label.
    """
    found = {
        row.name.casefold(): Label(
            name=row.name,
            priority=row.priority,
            confidence=clamp01(probability),
            categories=row.categories,
        )
        # Ascending: of classes with the same name the most probable one stays.
        for probability, row in sorted(
            zip(probabilities, classes, strict=True), key=lambda pair: pair[0]
        )
        if probability >= rules.min_confidence
    }
    covered = {
        word for label in found.values() if label.confidence >= CERTAIN for word in label.categories
    }
    for (name, *above), total in _category_sums(probabilities, classes):
        if total >= CERTAIN and name not in covered:  # a class may have the category's name
            found[name.casefold()] = Label(
                name=name, confidence=clamp01(total), categories=tuple(above)
            )
            covered |= {name, *above}
    chosen = sorted(found.values(), key=lambda label: -label.confidence)[: rules.most_labels]
    top = chosen[0].confidence if chosen else 1.0
    return tuple(
        label.model_copy(update={"topicality": clamp01(label.confidence / top)}) for label in chosen
    )


def _category_sums(
    probabilities: Sequence[float], classes: Sequence[ImageNetClass]
) -> list[tuple[tuple[str, ...], float]]:
    """Return each category with those above it, and the sum of its classes; most specific first."""
    sums: dict[str, float] = defaultdict(float)
    chains: dict[str, tuple[str, ...]] = {}
    # Descending: where classes disagree on what is above a category, the most probable one counts.
    for probability, row in sorted(
        zip(probabilities, classes, strict=True), key=lambda pair: -pair[0]
    ):
        for depth, name in enumerate(row.categories):
            sums[name] += probability
            chains.setdefault(name, row.categories[depth:])
    return sorted(
        ((chains[name], total) for name, total in sums.items()), key=lambda item: -len(item[0])
    )


def caption_from_labels(labels: Sequence[Label]) -> Caption:
    """Compose a caption from labels, and state so in ``composed_from``.

    Labels for the same object are left out: of the classes in a category only the most confident
    one is named, or the category itself. Without labels the text is empty.
    """
    named: list[str] = []
    covered: set[str] = set()
    for label in labels[: 2 * MAX_CAPTION_LABELS]:
        kin = {label.name.casefold(), *(word.casefold() for word in label.categories[:1])}
        if not kin & covered and len(named) < MAX_CAPTION_LABELS:
            named.append(label.name)
        covered |= kin
    text = " and ".join((", ".join(named[:-1]), named[-1])) if len(named) > 1 else "".join(named)
    return Caption(text=text, composed_from="labels")


class NsfwParameters(FamilyParameters):
    """How NSFW scores become verdicts."""

    rescale: bool = Field(
        default=False,
        description="map scores so that the threshold becomes 0.75, which PhotoPrism compares with",
    )


def nsfw_from_classes(
    probabilities: Sequence[float],
    names: Sequence[str],
    meaning: Mapping[str, str],
    threshold: float,
    *,
    rescale: bool = False,
) -> Nsfw:
    """Turn class probabilities into a verdict.

    Args:
        probabilities: of the model's classes.
        names: the model's class names, in the same order.
        meaning: the model's class name → one of :data:`NSFW_CLASSES`, which are PhotoPrism's.
        threshold: lowest score that is unsafe.
        rescale: see :func:`~shared.tasks.nsfw.judge`.
    """
    scores: dict[str, float] = defaultdict(float)
    for probability, name in zip(probabilities, names, strict=True):
        scores[meaning[name]] += probability
    score = sum(value for name, value in scores.items() if name not in SAFE_CLASSES)
    classes = {name.lower(): value for name, value in scores.items()}
    return judge(score, threshold, classes, rescale=rescale)
