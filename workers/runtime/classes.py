"""From class probabilities to answers: labels, a caption composed of them, an NSFW verdict."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import Field

from shared.tasks.caption import Caption
from shared.tasks.labels import TOLD_APART, Label
from shared.tasks.nsfw import Nsfw, judge
from shared.units import UnitInterval, clamp01
from workers.model.family import FamilyParameters
from workers.runtime.categories import GROUPS, THEMES
from workers.runtime.category_sums import Category, Hierarchy
from workers.runtime.imagenet import ImageNetClass

SAFE_CLASSES = frozenset({"Neutral", "Drawing"})
NSFW_CLASSES = SAFE_CLASSES | {"Hentai", "Porn", "Sexy"}
CERTAIN = 0.5
"""What has at least this probability is more probable than all else together."""
MAX_CAPTION_LABELS = 3


class LabelParameters(FamilyParameters):
    """How labels are chosen: all but ``most_labels`` are probabilities or shares, from 0 to 1.

    The defaults fit EfficientNet-Lite0 on 113 photos of PhotoPrism's repository. Of the sums of
    kinds and groups from 0.4 to 0.5, 15 of 18 named what the photo shows, of those from 0.25 to 0.4
    only 16 of 31. Themes came to 0.46 and ``animal`` to 0.43 in photos that show neither. Wrong
    breeds had up to 0.68.
    """

    min_confidence: UnitInterval = Field(
        0.2, description="probability from which a class is a label, or its kind in its place"
    )
    special_confidence: UnitInterval = Field(
        0.7, description="probability from which a special class (a breed, a make) is named itself"
    )
    category_confidence: UnitInterval = Field(
        0.4, description="sum of its classes from which a kind or a group of kinds is a label"
    )
    theme_confidence: UnitInterval = Field(
        0.5,
        description="sum of its classes from which a theme (sports, kitchen, animal) is a label",
    )
    told_apart: UnitInterval = Field(
        TOLD_APART,
        description="share of a category's sum from which what is below it is named instead",
    )
    most_labels: int = Field(8, ge=1, description="number of labels, the most confident ones")

    def least_sum(self, category: str) -> float:
        """Return the sum of its classes from which a category is a label."""
        return self.theme_confidence if category in THEMES else self.category_confidence


class Labeller:
    """Chooses labels from the probabilities of all classes.

    The probability of one object is spread over similar classes (tiger cat, Egyptian cat, tabby
    cat). What they have in common is the label then, and not each of them; neither are a category
    and what is below it both labels.
    """

    def __init__(
        self,
        classes: Sequence[ImageNetClass],
        rules: LabelParameters,
        *,
        is_exclusive: bool = True,
    ) -> None:
        """Prepare.

        Args:
            classes: in the order of the model's outputs.
            rules: how labels are chosen.
            is_exclusive: whether only one class is right, so that probabilities add up. Otherwise
                each has a probability of its own, and a category that of the most probable one.
        """
        self._classes, self._rules = classes, rules
        self._hierarchy = Hierarchy(classes, is_exclusive=is_exclusive)
        self._certain = CERTAIN if is_exclusive else 1.0
        self._least = np.array([rules.least_sum(name) for name in self._hierarchy.names])

    def labels(self, probabilities: Sequence[float]) -> tuple[Label, ...]:
        """Return the labels for the probabilities of all classes, most confident first.

        Topicality is the confidence relative to that of the best label.
        """
        rules, values = self._rules, np.array(probabilities)
        sums = self._hierarchy.sums(values)
        found: dict[str, Label] = {}
        probable = np.flatnonzero(values >= rules.min_confidence)
        # Ascending: of classes with the same name the most probable one stays.
        for index in probable[values[probable].argsort(kind="stable")]:
            row = self._classes[index]
            _add(found, _class_or_kind(float(values[index]), row, sums, rules))
        named = [label.name for label in found.values() if label.name in sums]
        for category in sums.specific_first(self._least, named):
            if category.total >= rules.least_sum(category.name) or _key(category.name) in found:
                _roll_up(found, category, rules, self._certain)
        chosen = sorted(found.values(), key=lambda label: -label.confidence)[: rules.most_labels]
        top = chosen[0].confidence if chosen else 1.0
        return tuple(
            label.model_copy(update={"topicality": clamp01(label.confidence / top)})
            for label in chosen
        )


def _class_or_kind(
    probability: float,
    row: ImageNetClass,
    categories: Mapping[str, Category],
    rules: LabelParameters,
) -> Label:
    """Return the label of a class; that of its kind if it is a special one and not certain."""
    kind = categories[row.categories[0]] if row.categories else None
    if kind and kind.name not in GROUPS | THEMES:
        is_told_apart = probability >= rules.told_apart * kind.total
        if probability < rules.special_confidence or not is_told_apart:
            return _label(kind)
    return Label(
        name=row.name,
        priority=row.priority,
        confidence=clamp01(probability),
        categories=row.categories,
    )


def _roll_up(
    found: dict[str, Label], category: Category, rules: LabelParameters, certain: float
) -> None:
    """Leave either the category or the labels below it, whichever says more.

    Below it stands what is more probable than not, and what is nearly all of the category: one
    label, or several of at least ``category_confidence``.
    """
    below = {key: label for key, label in found.items() if category.name in label.categories}
    confidences = [label.confidence for label in below.values()]
    told_apart = rules.told_apart * category.total
    enough = min(rules.category_confidence, told_apart)
    seen = sum(confidence for confidence in confidences if confidence >= enough)
    if seen >= min(told_apart, certain):
        found.pop(_key(category.name), None)
        return
    for key in below:
        del found[key]
    _add(found, _label(category))


def _label(category: Category) -> Label:
    return Label(name=category.name, confidence=clamp01(category.total), categories=category.above)


def _add(found: dict[str, Label], label: Label) -> None:
    """Add a label, or replace the less confident one of the same name."""
    key = _key(label.name)
    if key not in found or label.confidence >= found[key].confidence:
        found[key] = label


def _key(name: str) -> str:
    return name.casefold()


def caption_from_labels(labels: Sequence[Label]) -> Caption:
    """Compose a caption from labels, and state so in ``composed_from``; without any it is empty."""
    named = [label.name for label in labels[:MAX_CAPTION_LABELS]]
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
