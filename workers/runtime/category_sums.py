"""The probabilities of categories: sums over their classes, or the largest of them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from workers.runtime.imagenet import ImageNetClass


class Category(NamedTuple):
    """A category in an answer."""

    name: str
    above: tuple[str, ...]
    total: float
    """Sum of the probabilities of its classes if one excludes the others, else the largest."""


class Hierarchy:
    """The categories of a model's classes."""

    def __init__(self, classes: Sequence[ImageNetClass], *, is_exclusive: bool = True) -> None:
        """Prepare for classes in the order of the model's outputs.

        Args:
            classes: all that the model knows.
            is_exclusive: whether only one of them is right, so that probabilities add up.
        """
        self._classes, self._is_exclusive = classes, is_exclusive
        self.names = list(dict.fromkeys(name for row in classes for name in row.categories))
        self.columns = {name: column for column, name in enumerate(self.names)}
        counts = np.zeros((len(classes), len(self.names)))
        for index, row in enumerate(classes):
            for name in row.categories:
                counts[index, self.columns[name]] += 1
        self._members = [np.flatnonzero(counts[:, column]) for column in range(len(self.names))]
        for index, row in enumerate(classes):
            # The class "elephant" is one of the category "elephant", beside "African elephant".
            if row.name in self.columns and row.name not in row.categories:
                counts[index, self.columns[row.name]] += 1
        self._counts = counts

    def sums(self, probabilities: np.ndarray) -> "CategorySums":
        """Return the sums for the probabilities of all classes, (classes,), float64."""
        if self._is_exclusive:
            totals = probabilities @ self._counts
        else:
            totals = np.where(self._counts > 0, probabilities[:, None], 0.0).max(0, initial=0.0)
        return CategorySums(self, probabilities, totals)

    def above(self, name: str, probabilities: np.ndarray) -> tuple[int, int, tuple[str, ...]]:
        """Return what is above a category in the opinion of its most probable class.

        Returns:
            That class' index, where it has the category, and the categories above it.
        """
        members = self._members[self.columns[name]]
        best = int(members[probabilities[members].argmax()])
        depth = self._classes[best].categories.index(name)
        return best, depth, self._classes[best].categories[depth + 1 :]


class CategorySums(Mapping[str, Category]):
    """Each category of an answer by its name."""

    def __init__(self, hierarchy: Hierarchy, probabilities: np.ndarray, totals: np.ndarray) -> None:
        self._hierarchy, self._probabilities, self._totals = hierarchy, probabilities, totals

    def __getitem__(self, name: str) -> Category:
        """Return a category."""
        _, _, above = self._hierarchy.above(name, self._probabilities)
        return Category(name, above, float(self._totals[self._hierarchy.columns[name]]))

    def __iter__(self) -> Iterator[str]:
        """Yield all names."""
        return iter(self._hierarchy.names)

    def __len__(self) -> int:
        """Return the number of categories."""
        return len(self._hierarchy.names)

    def specific_first(self, least: np.ndarray, names: Collection[str]) -> list[Category]:
        """Return some categories: most specific first, then those with the most probable class.

        Args:
            least: smallest sums, (categories,), in the order of :attr:`Hierarchy.names`.
            names: of categories to be returned whatever their sum.
        """
        chosen = self._totals >= least
        chosen[[self._hierarchy.columns[name] for name in names]] = True
        ranked = []
        for column in np.flatnonzero(chosen):
            name = self._hierarchy.names[column]
            best, depth, above = self._hierarchy.above(name, self._probabilities)
            rank = -len(above), -float(self._probabilities[best]), best, depth
            ranked.append((rank, Category(name, above, float(self._totals[column]))))
        return [category for _, category in sorted(ranked)]
