"""Labels and captions from the probabilities of classes."""

import pytest

from shared.tasks.labels import Label
from workers.runtime.classes import Labeller, LabelParameters, caption_from_labels
from workers.runtime.imagenet import ImageNetClass


def kind(name: str, *categories: str) -> ImageNetClass:
    return ImageNetClass(name, categories, 0)


TABBY = kind("tabby cat", "cat", "animal")
TIGER = kind("tiger cat", "cat", "animal")
EGYPTIAN = kind("Egyptian cat", "cat", "animal")
BEAGLE = ImageNetClass("beagle", ("dog", "animal"), 1)
PAPER = ImageNetClass("toilet paper", (), -2)
ELEPHANT = kind("elephant", "animal")
AFRICAN = kind("African elephant", "elephant", "animal")
ASIAN = kind("Asian elephant", "elephant", "animal")
BALD_EAGLE = kind("bald eagle", "eagle", "bird", "animal")
ROBIN = kind("robin", "bird", "animal")
SOFA, SHELF, BED = (kind(name, "furniture") for name in ("sofa", "bookcase", "wardrobe"))
HELMET = kind("football helmet", "helmet", "sports")
BARBELL, BALANCE_BEAM = kind("barbell", "sports"), kind("balance beam", "sports")
LAMP, HOOK = kind("lamp"), kind("hook")


def labels(
    probabilities: dict[ImageNetClass, float], rules: LabelParameters | None = None
) -> list[Label]:
    labeller = Labeller(list(probabilities), rules or LabelParameters())
    return list(labeller.labels(list(probabilities.values())))


def confidences(found: list[Label]) -> dict[str, float]:
    return {label.name: label.confidence for label in found}


def test_a_certain_class_is_the_only_label_and_has_all_its_fields() -> None:
    found = labels({TABBY: 0.02, BEAGLE: 0.9, PAPER: 0.08})

    assert found == [
        Label(name="beagle", priority=1, confidence=0.9, topicality=1, categories=("dog", "animal"))
    ]


@pytest.mark.parametrize(("probability", "is_label"), [(0.1999, False), (0.2, True)])
def test_labels_have_at_least_the_minimum_confidence(probability: float, *, is_label: bool) -> None:
    found = labels({PAPER: probability, BEAGLE: 1 - probability})

    assert ("toilet paper" in confidences(found)) is is_label


def test_the_minimum_confidence_and_the_number_of_labels_are_parameters() -> None:
    probabilities = {LAMP: 0.1, BEAGLE: 0.4, PAPER: 0.3, HOOK: 0.2}
    rules = LabelParameters(min_confidence=0.05, most_labels=3)

    assert confidences(labels(probabilities, rules)) == {
        "dog": 0.4,
        "toilet paper": 0.3,
        "hook": 0.2,
    }


def test_the_most_confident_label_is_first() -> None:
    found = labels({PAPER: 0.25, BEAGLE: 0.45, TABBY: 0.3})

    assert list(confidences(found).values()) == sorted(confidences(found).values(), reverse=True)


def test_topicality_is_relative_to_the_best_label() -> None:
    lamp, paper = labels({PAPER: 0.25, LAMP: 0.5})

    assert (lamp.topicality, paper.topicality) == (1.0, 0.5)


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        pytest.param(
            {TABBY: 0.18, TIGER: 0.38, EGYPTIAN: 0.36}, {"cat": 0.92}, id="a cat is one cat"
        ),
        pytest.param({TABBY: 0.51, TIGER: 0.42}, {"cat": 0.93}, id="one is only a bit ahead"),
        pytest.param({TABBY: 0.75, TIGER: 0.24}, {"tabby cat": 0.75}, id="one is clearly ahead"),
        pytest.param({TABBY: 0.25, PAPER: 0.5}, {"toilet paper": 0.5, "cat": 0.25}, id="uncertain"),
        pytest.param(
            {TABBY: 0.3, TIGER: 0.3, BEAGLE: 0.4}, {"cat": 0.6, "dog": 0.4}, id="a cat and a dog"
        ),
    ],
)
def test_a_special_class_is_named_by_its_kind_unless_it_is_certain(
    probabilities: dict[ImageNetClass, float], expected: dict[str, float]
) -> None:
    assert confidences(labels(probabilities)) == expected


@pytest.mark.parametrize(("special_confidence", "name"), [(0.61, "dog"), (0.6, "beagle")])
def test_the_confidence_of_a_special_class_is_a_parameter(
    special_confidence: float, name: str
) -> None:
    rules = LabelParameters(special_confidence=special_confidence)

    assert confidences(labels({BEAGLE: 0.6, PAPER: 0.1}, rules)) == {name: 0.6}


@pytest.mark.parametrize(("told_apart", "names"), [(0.6, {"tabby cat"}), (0.7, {"cat"})])
def test_how_far_a_special_class_must_be_ahead_is_a_parameter(
    told_apart: float, names: set[str]
) -> None:
    rules = LabelParameters(special_confidence=0.4, told_apart=told_apart)

    assert confidences(labels({TABBY: 0.6, TIGER: 0.3}, rules)).keys() == names


@pytest.mark.parametrize(
    ("each", "found"), [(0.199, {"cat": 0.597}), (0.14, {"cat": 0.42}), (0.13, {})]
)
def test_classes_that_share_a_kind_are_that_kind_instead_of_nothing(
    each: float, found: dict[str, float]
) -> None:
    assert confidences(labels({TABBY: each, TIGER: each, EGYPTIAN: each})) == found


@pytest.mark.parametrize(
    ("each", "found"), [(0.15, {"furniture": 0.45}), (0.13, {})], ids=["enough", "too little"]
)
def test_classes_that_share_a_group_are_that_group_instead_of_nothing(
    each: float, found: dict[str, float]
) -> None:
    assert confidences(labels({SOFA: each, SHELF: each, BED: each})) == found


@pytest.mark.parametrize(("each", "found"), [(0.18, {"sports": 0.54}), (0.16, {})])
def test_a_theme_takes_more_because_its_classes_do_not_look_alike(
    each: float, found: dict[str, float]
) -> None:
    assert confidences(labels({HELMET: each, BARBELL: each, BALANCE_BEAM: each})) == found


def test_the_sums_that_make_categories_labels_are_parameters() -> None:
    rules = LabelParameters(category_confidence=0.9, theme_confidence=0.1)
    probabilities = {SOFA: 0.18, SHELF: 0.18, BED: 0.18, HELMET: 0.18, BARBELL: 0.18}

    assert confidences(labels(probabilities)) == {"furniture": 0.54}
    assert confidences(labels(probabilities, rules)) == {"sports": 0.36}


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        pytest.param(
            {SOFA: 0.3, SHELF: 0.25, BED: 0.2}, {"furniture": 0.75}, id="siblings are replaced"
        ),
        pytest.param({SOFA: 0.35, SHELF: 0.1}, {"sofa": 0.35}, id="unless one is told apart"),
        pytest.param(
            {SOFA: 0.55, SHELF: 0.25},
            {"sofa": 0.55, "bookcase": 0.25},
            id="or more probable than not",
        ),
        pytest.param(
            {TABBY: 0.45, BEAGLE: 0.45, PAPER: 0.1},
            {"cat": 0.45, "dog": 0.45},
            id="or two are seen",
        ),
        pytest.param(
            {TABBY: 0.3, BEAGLE: 0.3, AFRICAN: 0.3}, {"animal": 0.9}, id="three guesses are a guess"
        ),
        pytest.param({BALD_EAGLE: 0.25, ROBIN: 0.55}, {"bird": 0.8}, id="a kind below a kind"),
        pytest.param({BALD_EAGLE: 0.22, ROBIN: 0.1}, {"eagle": 0.22}, id="of two kinds the lower"),
        pytest.param({BALD_EAGLE: 0.2, ROBIN: 0.2}, {"bird": 0.4}, id="of two kinds the upper"),
        pytest.param({BALD_EAGLE: 0.8, ROBIN: 0.2}, {"bald eagle": 0.8}, id="over two levels"),
    ],
)
def test_a_category_and_what_is_below_it_are_not_both_labels(
    probabilities: dict[ImageNetClass, float], expected: dict[str, float]
) -> None:
    assert confidences(labels(probabilities)) == expected


def test_a_category_has_the_categories_above_it() -> None:
    assert [cat.categories for cat in labels({TABBY: 0.45, TIGER: 0.45})] == [("animal",)]


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        ({ELEPHANT: 0.2, AFRICAN: 0.75, PAPER: 0.05}, {"African elephant": 0.75}),
        ({ELEPHANT: 0.25, AFRICAN: 0.3, ASIAN: 0.3}, {"elephant": 0.85}),
        ({ELEPHANT: 0.45, AFRICAN: 0.15}, {"elephant": 0.6}),
    ],
)
def test_a_class_with_the_name_of_a_category_counts_to_it(
    probabilities: dict[ImageNetClass, float], expected: dict[str, float]
) -> None:
    assert confidences(labels(probabilities)) == expected


@pytest.mark.parametrize("first", [0.7, 0.25])
def test_two_classes_of_the_same_name_are_one_label_with_the_larger_confidence(
    first: float,
) -> None:
    tower, machine = kind("crane", "architecture"), kind("Crane", "vehicle")

    found = labels({tower: first, machine: 0.95 - first})

    assert list(confidences(found).values()) == [0.7]


def test_there_are_no_labels_below_the_minimum_confidence() -> None:
    assert labels({PAPER: 0.1, LAMP: 0.1}) == []


def test_a_sum_with_rounding_errors_is_at_most_1() -> None:
    assert labels({TABBY: 0.4000001, TIGER: 0.3, EGYPTIAN: 0.3})[0].confidence == 1.0


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
        pytest.param({TABBY: 0.7, TIGER: 0.3}, "tabby cat", id="most-probable-of-its-category"),
        pytest.param({TABBY: 0.5, BEAGLE: 0.4}, "cat and dog", id="different-ones"),
    ],
)
def test_a_caption_does_not_name_an_object_twice(
    probabilities: dict[ImageNetClass, float], text: str
) -> None:
    assert caption_from_labels(labels(probabilities)).text == text
