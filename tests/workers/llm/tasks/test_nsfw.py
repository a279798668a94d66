"""How an NSFW verdict is read from a language model's answer."""

import pytest

from shared.tasks.nsfw import NsfwStatus
from workers.llm.lenient_parsing import UnusableAnswer
from workers.llm.tasks.nsfw import read_nsfw

SAFE, UNSAFE = NsfwStatus.SAFE, NsfwStatus.UNSAFE


@pytest.mark.parametrize(
    ("text", "status", "score"),
    [
        ('{"nsfw": false, "nsfw_confidence": 0.02}', SAFE, 0.02),
        ('{"nsfw": true, "nsfw_confidence": 0.9}', UNSAFE, 0.9),
        ('```json\n{"NSFW": "Yes", "NSFW Confidence": "90%"}\n```', UNSAFE, 0.9),
        ('{"isNsfw": True, "confidence": 97}', UNSAFE, 0.97),
        # The confidence that it is safe, not that it is unsafe.
        ('{"nsfw": false, "nsfw_confidence": 0.95}', SAFE, 0.05),
        ('{"safe": true, "confidence": 0.9}', SAFE, 0.1),
        ('{"nsfw": false, "confidence": 0.5}', SAFE, 0.49),
        ('{"nsfw": true, "nsfw_confidence": 0.1}', UNSAFE, 0.5),
        ('{"nsfw": true}', UNSAFE, 1),
        ('{"sfw": "no"}', UNSAFE, 1),
        ('{"nsfw": "false"}', SAFE, 0),
        ('{"nsfw": 0.8}', UNSAFE, 0.8),
        ('{"nsfw": "15%"}', SAFE, 0.15),
        ('{"score": 0.7}', UNSAFE, 0.7),
        ('{"result": {"nsfw": {"flag": 1, "nsfw_score": 0.7}}}', UNSAFE, 0.7),
        ('{"status": "unsafe", "score": 0.8}', UNSAFE, 0.8),
        ('{"label": "normal", "score": 0.9}', SAFE, 0.1),
        ('[{"nsfw": false}, {"nsfw": true}]', UNSAFE, 1),
        ('{"labels": [{"name": "a", "nsfw": false}, {"name": "b", "nsfw": true}]}', UNSAFE, 1),
        ("Unsafe.", UNSAFE, 1),
        ('{"porn": 0.3, "hentai": 0.3, "sexy": 0.3, "neutral": 0.1}', UNSAFE, 0.9),
        ('[{"label":"normal","score":0.99},{"label":"nsfw","score":0.01}]', SAFE, 0.01),
        ('{"safe": 0.98}', SAFE, 0.02),
        ('"SFW"', SAFE, 0),
        ("Not safe for work", UNSAFE, 1),
    ],
)
def test_verdicts_are_found_however_they_are_written(
    text: str, status: NsfwStatus, score: float
) -> None:
    verdict = read_nsfw(text)
    assert (verdict.status, verdict.score, verdict.threshold) == (status, score, 0.5)


@pytest.mark.parametrize(
    "text",
    [
        '{"Drawing": 0.1, "HENTAI": 2, "neutral": "7%", "Porn": 0.8, "sexy": 0.05}',
        '{"classes": {"Drawing": 0.1, "hentai": 0.02, "neutral": 0.07, "porn": 80, "sexy": 5}}',
        """[{"class": "Drawing", "score": 0.1}, {"class": "Hentai", "score": 0.02},
            {"class": "Neutral", "score": 0.07}, {"class": "Porn", "score": 0.8},
            {"class": "Sexy", "score": 0.05}]""",
    ],
)
def test_class_scores_are_read_in_any_case(text: str) -> None:
    verdict = read_nsfw(text)
    assert (verdict.status, verdict.score) == (UNSAFE, 0.87)  # they exclude each other
    assert (verdict.drawing, verdict.hentai, verdict.neutral) == (0.1, 0.02, 0.07)
    assert (verdict.porn, verdict.sexy) == (0.8, 0.05)


def test_a_verdict_without_classes_has_class_scores_for_clients_that_read_nothing_else() -> None:
    unsafe, safe = read_nsfw('{"nsfw": true, "nsfw_confidence": 0.9}'), read_nsfw("SFW")
    assert (unsafe.porn, unsafe.neutral) == (0.9, 0.1)
    assert (safe.porn, safe.neutral) == (0.0, 1.0)


def test_the_scores_can_be_rescaled() -> None:
    verdict = read_nsfw('{"nsfw": 0.5}', 0.4, rescale=True)
    assert (verdict.threshold, verdict.porn) == (0.75, verdict.score)
    assert verdict.score == pytest.approx(0.7917, abs=0.0001)  # 0.75 + 0.25 · 0.1 / 0.6


def test_without_other_classes_neutral_is_the_opposite_of_unsafe() -> None:
    assert read_nsfw('{"neutral": 0.9}').score == 0.1


def test_scores_of_at_least_the_threshold_are_unsafe() -> None:
    assert read_nsfw('{"score": 0.3}', 0.3).status == UNSAFE
    assert read_nsfw('{"score": 0.29}', 0.3).status == SAFE
    # The score never contradicts the flag, whatever the threshold.
    assert read_nsfw('{"nsfw": true, "nsfw_confidence": 0.6}', 0.9).score == 0.9
    assert read_nsfw('{"nsfw": false, "nsfw_confidence": 0.25}', 0.2).score == 0.19


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "[" * 50_000,
        '{"confidence": 0.9}',
        '{"nsfw": null}',
        '{"nsfw": NaN}',
        '{"labels": [{',
        '{"status": "blurry", "score": 0.9}',
        "Nice photo.",
    ],
)
def test_an_answer_without_a_verdict_is_unusable(text: str) -> None:
    with pytest.raises(UnusableAnswer, match="whether the image is safe"):
        read_nsfw(text)


def test_class_scores_that_are_all_0_are_no_verdict() -> None:
    with pytest.raises(UnusableAnswer):
        read_nsfw('{"drawing": 0, "hentai": 0, "neutral": 0, "porn": 0, "sexy": 0}')
