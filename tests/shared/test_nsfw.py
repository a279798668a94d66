"""From one probability to a verdict that PhotoPrism's clients of all ages understand."""

from itertools import pairwise

import pytest

from shared.tasks.nsfw import Nsfw, judge, rescale_score

THRESHOLDS = (0.0, 0.2, 0.327, 0.5, 0.529, 0.75, 0.8, 0.992, 1.0)
SCORES = [n / 1000 for n in range(1001)]


def classes(verdict: Nsfw) -> dict[str, float]:
    return verdict.model_dump(
        include={"drawing", "hentai", "neutral", "porn", "sexy"}, exclude_none=True
    )


@pytest.mark.parametrize("score", [0.0, 0.25, 0.327, 0.9, 1.0])
def test_a_score_alone_is_porn_and_the_rest_is_neutral(score: float) -> None:
    verdict = judge(score, 0.327)

    assert classes(verdict) == {"porn": score, "neutral": pytest.approx(1 - score)}
    assert (verdict.score, verdict.threshold) == (score, 0.327)
    assert verdict.status == ("unsafe" if score >= 0.327 else "safe")


@pytest.mark.parametrize(
    ("score", "known", "expected"),
    [
        pytest.param(
            0.9,
            {"porn": 0.2, "sexy": 0.7, "neutral": 0.1},
            {"porn": 0.2, "sexy": 0.7, "neutral": 0.1},
            id="told apart",
        ),
        pytest.param(
            0.1, {"neutral": 0.9, "porn": None}, {"porn": 0.1, "neutral": 0.9}, id="neutral alone"
        ),
        pytest.param(
            0.9,
            {"drawing": 0.0, "hentai": 0.0, "neutral": 0.0, "porn": 0.0, "sexy": 0.0},
            {"drawing": 0.0, "hentai": 0.0, "neutral": 0.1, "porn": 0.9, "sexy": 0.0},
            id="not filled in",
        ),
        pytest.param(
            0.8, {"porn": 0.3, "neutral": 0.7}, {"porn": 0.8, "neutral": 0.2}, id="contradiction"
        ),
        pytest.param(
            0.2,
            {"sexy": 0.0, "neutral": 1.0},
            {"sexy": 0.0, "neutral": 1.0},
            id="safe all the same",
        ),
    ],
)
def test_classes_that_the_model_tells_apart_stay_and_others_follow_the_score(
    score: float, known: dict[str, float | None], expected: dict[str, float]
) -> None:
    assert classes(judge(score, 0.5, known)) == pytest.approx(expected)


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_rescaled_scores_keep_their_order_and_their_side_of_the_threshold(threshold: float) -> None:
    rescaled = [rescale_score(score, threshold) for score in SCORES]

    assert all(lower < higher for lower, higher in pairwise(rescaled))
    assert all(
        (new >= 0.75) == (score >= threshold) for score, new in zip(SCORES, rescaled, strict=True)
    )


@pytest.mark.parametrize("threshold", [0.2, 0.327, 0.75, 0.992])
def test_rescaling_leaves_the_ends_and_maps_the_threshold_to_photoprisms(threshold: float) -> None:
    ends = [rescale_score(score, threshold) for score in (0.0, threshold / 2, threshold, 1.0)]

    assert ends == pytest.approx([0, 0.375, 0.75, 1])


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_a_rescaled_verdict_agrees_with_itself_and_with_the_one_before(threshold: float) -> None:
    for score in SCORES:
        verdict = judge(score, threshold, rescale=True)

        assert verdict.threshold == 0.75
        assert verdict.score is not None
        assert (verdict.status == "unsafe") == (verdict.score >= 0.75)
        assert verdict.status == judge(score, threshold).status
        expected = (verdict.score, 1 - verdict.score)
        assert (verdict.porn, verdict.neutral) == pytest.approx(expected, abs=0.00011)  # rounded


def test_rescaled_classes_keep_their_proportions_and_still_add_up_to_1() -> None:
    known = {"porn": 0.2, "sexy": 0.1, "hentai": 0.0, "neutral": 0.5, "drawing": 0.2}

    verdict = judge(0.3, 0.2, known, rescale=True)

    assert verdict.score == pytest.approx(0.7813, abs=0.0001)  # 0.75 + 0.25 · 0.1 / 0.8
    assert classes(verdict) == pytest.approx(
        {"porn": 0.5208, "sexy": 0.2604, "hentai": 0.0, "neutral": 0.1563, "drawing": 0.0625},
        abs=0.0002,
    )
    assert sum(classes(verdict).values()) == pytest.approx(1, abs=0.0005)
