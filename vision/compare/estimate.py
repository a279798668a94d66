"""How often models are wrong, estimated without knowing what is right: by their disagreement.

If two models are wrong independently of each other, and two wrong names are never the same by
chance, they name the same in a share a₁₂ = p₁p₂ of the photos, where p is the share in which a
model is right. Of three models, p₁ = √(a₁₂·a₁₃/a₂₃). That is the triplet method, as in Fu et al.,
"Fast and Three-rious: Speeding Up Weak Supervision with Triplet Methods", ICML 2020, for many names
instead of two. With two models alone, only the mean of their errors has a lower bound: wherever
they disagree, one of them is wrong.

Both assumptions fail to some degree. Models that make the same mistakes look better than they are.
Models that use other words for the same thing look worse. So this ranks models, and is no measure
of truth.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import sqrt
from statistics import median

from vision.compare.answers import Said

Agreement = Mapping[frozenset[int], float]
"""Share of the photos for which two models name the same, by their numbers."""


def naming_agreement(answers: Sequence[Sequence[Said | None]]) -> Agreement:
    """Return for each two models the share of photos for which they name the same.

    Args:
        answers: of each model, about the same photos in the same order; ``None`` or empty: none.
    """
    shares = {}
    for one, other in combinations(range(len(answers)), 2):
        both = [
            first.names_the_same(second)
            for first, second in zip(answers[one], answers[other], strict=True)
            if first and second and first.names and second.names
        ]
        if both:
            shares[frozenset((one, other))] = sum(both) / len(both)
    return shares


def wrong_rate(agreement: Agreement, model: int) -> float | None:
    """Return how often a model's first name is wrong, estimated; the median over all triplets.

    ``None``: there are fewer than three models that can be compared.
    """
    others = sorted({other for pair in agreement if model in pair for other in pair - {model}})
    rates = []
    for one, other in combinations(others, 2):
        between = agreement.get(frozenset((one, other)), 0.0)
        if between:
            product = agreement[frozenset((model, one))] * agreement[frozenset((model, other))]
            rates.append(1 - min(sqrt(product / between), 1.0))
    return median(rates) if rates else None


def least_mean_wrong_rate(agreement: Agreement) -> float | None:
    """Return how often two models are wrong at least, in the mean; ``None``: there are not two."""
    if len(agreement) != 1:
        return None
    (share,) = agreement.values()
    return (1 - share) / 2
