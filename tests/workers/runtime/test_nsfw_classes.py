"""NSFW verdicts from the probabilities of classes."""

import pytest

from shared.tasks.nsfw import NsfwStatus
from workers.runtime.classes import nsfw_from_classes

FREEPIK = {"neutral": "Neutral", "low": "Sexy", "medium": "Hentai", "high": "Porn"}


@pytest.mark.parametrize(
    ("probabilities", "status", "score"),
    [
        ([1.0, 0.0, 0.0, 0.0], NsfwStatus.SAFE, 0.0),
        ([0.01, 0.3, 0.3, 0.39], NsfwStatus.SAFE, 0.99),
        ([0.008, 0.492, 0.3, 0.2], NsfwStatus.UNSAFE, 0.992),
        ([0.0, 0.0, 0.0, 1.0], NsfwStatus.UNSAFE, 1.0),
    ],
    ids=["safe", "just-safe", "at-the-threshold", "unsafe"],
)
def test_a_verdict_compares_the_sum_of_all_unsafe_classes_with_the_threshold(
    probabilities: list[float], status: NsfwStatus, score: float
) -> None:
    verdict = nsfw_from_classes(probabilities, list(FREEPIK), FREEPIK, 0.992)

    assert (verdict.status, verdict.score, verdict.threshold) == (status, score, 0.992)


def test_classes_are_mapped_and_those_that_the_model_lacks_are_absent() -> None:
    verdict = nsfw_from_classes([0.4, 0.3, 0.2, 0.1], list(FREEPIK), FREEPIK, 0.5)

    assert (verdict.neutral, verdict.sexy, verdict.hentai, verdict.porn) == (0.4, 0.3, 0.2, 0.1)
    assert verdict.drawing is None


def test_drawings_are_safe_and_classes_with_the_same_meaning_are_summed() -> None:
    meaning = {"photo": "Neutral", "sketch": "Drawing", "nude": "Porn", "sex": "Porn"}

    verdict = nsfw_from_classes([0.2, 0.4, 0.3, 0.1], list(meaning), meaning, 0.5)

    assert (verdict.status, verdict.score) == (NsfwStatus.SAFE, 0.4)
    assert (verdict.neutral, verdict.drawing, verdict.porn) == (0.2, 0.4, 0.4)


def test_a_wrong_number_of_probabilities_raises_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        nsfw_from_classes([0.5], list(FREEPIK), FREEPIK, 0.5)
