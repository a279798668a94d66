"""The categories of ImageNet's classes, and labels from probabilities over all of them."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from workers.runtime.categories import GROUPS, THEMES
from workers.runtime.classes import Labeller, LabelParameters
from workers.runtime.imagenet import imagenet_classes
from workers.runtime.vocabulary import BUILT_IN, find_vocabulary


def test_every_group_and_theme_is_a_category_of_a_class_or_a_label() -> None:
    known = {name for row in imagenet_classes() for name in row.categories}
    known |= {name for entry in find_vocabulary(BUILT_IN, Path()) for name in entry.categories}
    assert known >= GROUPS | THEMES
    assert not GROUPS & THEMES


@pytest.mark.parametrize("things", [1, 2, 3])
@pytest.mark.parametrize("evenness", [0.1, 1.0, 10.0])
def test_no_label_says_what_another_says(things: int, evenness: float) -> None:
    """Photos of a few things, each of which is spread over the classes of its category."""
    rng = np.random.default_rng(things)
    classes = imagenet_classes()
    members: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(classes):
        for name in row.categories:
            members[name].append(index)
    labeller, seen = Labeller(classes, LabelParameters()), set()
    for _ in range(60):
        probabilities = 0.1 * rng.dirichlet(np.ones(len(classes)))
        for name in rng.choice(list(members), things, replace=False):
            spread = rng.dirichlet(np.full(len(members[name]), evenness))
            probabilities[members[name]] += 0.9 / things * spread
        found = labeller.labels(probabilities.tolist())

        names = {label.name for label in found}
        assert len(names) == len(found) <= 5
        assert not names & {name for label in found for name in label.categories}
        kinds = [
            label.categories[0]
            for label in found
            if label.categories and label.categories[0] not in GROUPS | THEMES
        ]
        assert len(kinds) == len(set(kinds))
        assert all(0.2 <= label.confidence <= 1 for label in found)
        seen |= names
    assert len(seen) > 20  # of 60 photos, so that all of the above was put to the test
