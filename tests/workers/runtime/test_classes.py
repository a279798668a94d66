import pytest

from shared.tasks.labels import Label
from shared.tasks.nsfw import NsfwStatus
from workers.runtime.classes import (
    LabelParameters,
    caption_from_labels,
    labels_from_classes,
    nsfw_from_classes,
)
from workers.runtime.imagenet import ImageNetClass

TABBY = ImageNetClass("tabby cat", ("cat", "animal"), 0)
TIGER = ImageNetClass("tiger cat", ("cat", "animal"), 0)
EGYPTIAN = ImageNetClass("Egyptian cat", ("cat", "animal"), 0)
BEAGLE = ImageNetClass("beagle", ("dog", "animal"), 1)
PAPER = ImageNetClass("toilet paper", (), -2)
ELEPHANT = ImageNetClass("elephant", ("animal",), 0)
AFRICAN = ImageNetClass("African elephant", ("elephant", "animal"), 0)
FREEPIK = {"neutral": "Neutral", "low": "Sexy", "medium": "Hentai", "high": "Porn"}


def labels(
    probabilities: dict[ImageNetClass, float], rules: LabelParameters | None = None
) -> list[Label]:
    chosen = labels_from_classes(
        list(probabilities.values()), list(probabilities), rules or LabelParameters()
    )
    return list(chosen)


def confidences(found: list[Label]) -> dict[str, float]:
    return {label.name: label.confidence for label in found}


def test_a_certain_class_is_the_only_label_and_has_all_its_fields() -> None:
    found = labels({TABBY: 0.02, BEAGLE: 0.9, PAPER: 0.08})

    assert found == [
        Label(name="beagle", priority=1, confidence=0.9, topicality=1, categories=("dog", "animal"))
    ]


@pytest.mark.parametrize(
    ("probability", "is_label"),
    [(0.1999, False), (0.2, True), (0.21, True)],
    ids=["below", "at", "above"],
)
def test_labels_have_at_least_the_minimum_confidence(probability: float, *, is_label: bool) -> None:
    found = labels({PAPER: probability, BEAGLE: 1 - probability})

    assert ("toilet paper" in confidences(found)) is is_label


def test_the_minimum_confidence_and_the_number_of_labels_are_parameters() -> None:
    probabilities = {TABBY: 0.1, BEAGLE: 0.4, PAPER: 0.3, ELEPHANT: 0.2}

    found = labels(probabilities, LabelParameters(min_confidence=0.05, most_labels=2))

    assert confidences(found) == {"animal": 0.7, "beagle": 0.4}


def test_the_most_confident_label_is_first() -> None:
    found = labels({PAPER: 0.25, BEAGLE: 0.45, TABBY: 0.3})

    assert list(confidences(found).values()) == sorted(confidences(found).values(), reverse=True)


def test_topicality_is_relative_to_the_best_label() -> None:
    found = labels({PAPER: 0.25, ImageNetClass("lamp", (), 0): 0.5})

    assert [(label.name, label.topicality) for label in found] == [
        ("lamp", 1.0),
        ("toilet paper", 0.5),
    ]


def test_similar_classes_are_rolled_up_to_their_most_specific_category() -> None:
    found = labels({TABBY: 0.35, TIGER: 0.3, EGYPTIAN: 0.15, PAPER: 0.2})

    assert confidences(found) == {
        "cat": 0.8,
        "tabby cat": 0.35,
        "tiger cat": 0.3,
        "toilet paper": 0.2,
    }
    assert found[0].categories == ("animal",)


def test_a_roll_up_needs_no_class_that_is_a_label_itself() -> None:
    found = labels({TABBY: 0.19, TIGER: 0.19, EGYPTIAN: 0.19, PAPER: 0.19, ELEPHANT: 0.0})

    assert confidences(found) == {"cat": 0.57}


def test_a_higher_category_is_the_label_when_no_lower_one_is_certain() -> None:
    found = labels({TABBY: 0.45, BEAGLE: 0.45, PAPER: 0.1})

    assert confidences(found) == {"animal": 0.9, "tabby cat": 0.45, "beagle": 0.45}


def test_nothing_is_rolled_up_when_one_class_is_certain() -> None:
    found = labels({TABBY: 0.55, TIGER: 0.25, BEAGLE: 0.2})

    assert confidences(found) == {"tabby cat": 0.55, "tiger cat": 0.25, "beagle": 0.2}


def test_nothing_is_rolled_up_when_no_category_is_certain() -> None:
    found = labels({TABBY: 0.24, TIGER: 0.25, PAPER: 0.51})

    assert confidences(found) == {"toilet paper": 0.51, "tiger cat": 0.25, "tabby cat": 0.24}


def test_a_category_with_the_name_of_a_class_is_one_label_with_the_larger_confidence() -> None:
    found = labels({ELEPHANT: 0.25, AFRICAN: 0.6, PAPER: 0.15})
    uncertain = labels({ELEPHANT: 0.25, AFRICAN: 0.3, AFRICAN._replace(name="Asian elephant"): 0.3})

    assert confidences(found) == {"African elephant": 0.6, "elephant": 0.25}
    assert confidences(uncertain) == {
        "elephant": 0.6,
        "African elephant": 0.3,
        "Asian elephant": 0.3,
    }


@pytest.mark.parametrize("first", [0.7, 0.25])
def test_two_classes_of_the_same_name_are_one_label_with_the_larger_confidence(
    first: float,
) -> None:
    bird, machine = ImageNetClass("crane", ("bird",), 0), ImageNetClass("Crane", ("vehicle",), 0)

    found = labels({bird: first, machine: 0.95 - first})

    assert list(confidences(found).values()) == [0.7]


def test_there_are_no_labels_below_the_minimum_confidence() -> None:
    assert labels({PAPER: 0.1, ImageNetClass("lamp", (), 0): 0.1}) == []


def test_a_sum_with_rounding_errors_is_at_most_1() -> None:
    found = labels({TABBY: 0.4000001, TIGER: 0.3000001, EGYPTIAN: 0.3000001})

    assert found[0].confidence == 1.0


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["cat"], "cat"),
        (["cat", "lamp"], "cat and lamp"),
        (["cat", "lamp", "sofa"], "cat, lamp and sofa"),
        (["cat", "lamp", "sofa", "rug"], "cat, lamp and sofa"),
    ],
)
def test_a_caption_names_up_to_three_labels_and_states_its_origin(
    names: list[str], text: str
) -> None:
    caption = caption_from_labels([Label(name=name, confidence=0.5) for name in names])

    assert (caption.text, caption.composed_from) == (text, "labels")


@pytest.mark.parametrize(
    ("probabilities", "text"),
    [
        pytest.param({TABBY: 0.4, TIGER: 0.4, PAPER: 0.2}, "cat and toilet paper", id="category"),
        pytest.param({TABBY: 0.6, TIGER: 0.4}, "tabby cat", id="most-probable-of-its-category"),
        pytest.param({TABBY: 0.6, BEAGLE: 0.4}, "tabby cat and beagle", id="different-ones"),
    ],
)
def test_a_caption_does_not_name_an_object_twice(
    probabilities: dict[ImageNetClass, float], text: str
) -> None:
    assert caption_from_labels(labels(probabilities)).text == text


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
