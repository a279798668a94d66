"""The figures of a comparison, with values that are known."""

import random
from collections import Counter

import pytest

from tests.vision.compare.standings import captions, figures, labels, trial
from vision.compare.answers import Flag, Said
from vision.compare.estimate import least_mean_wrong_rate, naming_agreement, wrong_rate
from vision.compare.ranking import ranked, rule


def test_coverage_counts_what_says_something_and_failures_apart() -> None:
    (found,) = figures(captions("one", "A dog on the grass", None, "", "A cat on the bed"))
    assert (found.coverage, found.failed, found.usable) == (0.5, 0, 0.5)
    (found,) = figures(trial("one", "caption", [{"text": "A dog"}, OSError("gone")]))
    assert (found.coverage, found.failed) == (0.5, 1)


def test_flags_are_counted_and_flagged_answers_are_not_usable() -> None:
    (found,) = figures(
        captions(
            "one", "A dog on the grass", "Ein Hund sitzt auf der Wiese.", "a dog \ufffd",
            "a dog and a dog and a dog and a dog and a dog and", "a dog",
        )
    )  # fmt: skip
    assert found.flags == Counter({Flag.LANGUAGE: 1, Flag.DAMAGED: 1, Flag.REPEATS: 1})
    assert found.coverage == 1.0
    assert found.usable == 0.4
    assert found.languages["German"] == 1


def test_the_wanted_language_is_the_one_asked_for_else_that_of_most_answers_to_a_prompt() -> None:
    german = ("Ein Hund sitzt auf der Wiese.", "Ein Kreis in Rot.", "A dog on the grass")
    (found,) = figures(captions("one", *german), language="Deutsch")
    assert (found.language, found.flags[Flag.LANGUAGE]) == ("German", 1)
    (found,) = figures(captions("one", *german, prompt="Auf Deutsch, bitte."))
    assert (found.language, found.flags[Flag.LANGUAGE]) == ("German", 1)
    (found,) = figures(captions("one", *german))
    assert (found.language, found.flags[Flag.LANGUAGE]) == ("English", 2)


def test_captions_agree_by_their_words_with_a_meaning() -> None:
    first, second = figures(
        captions("one", "A red circle on a grey background", "a dog"),
        captions("two", "the red square", "THE DOG"),
    )
    # red | circle, grey, background, square: 2·1/(4 + 2); then all.
    assert first.agreement == second.agreement == pytest.approx((1 / 3 + 1) / 2)
    assert (first.words, first.distinct) == (4.5, 1.0)


def test_another_prompt_of_the_same_model_is_no_second_opinion() -> None:
    first, second, third = figures(
        captions("one", "a dog"),
        captions("one", "a dog", prompt="Again?"),
        captions("two", "a cat"),
    )
    assert [first.agreement, second.agreement, third.agreement] == [0, 0, 0]
    (alone, _) = figures(captions("one", "a dog"), captions("one", "a dog", prompt="Again?"))
    assert alone.agreement is None


def test_labels_are_agreed_if_another_one_names_them_or_one_below_them() -> None:
    first, second, third = figures(
        labels("one", "dogs, grass, person"),
        labels("two", "Dog, tree"),
        labels("three", "oak/tree"),
    )
    assert first.confirmed == pytest.approx(1 / 3)  # dogs
    assert second.confirmed == 1.0  # dog, and tree, of which oak is one
    assert third.confirmed == 0.0
    assert first.agreement == pytest.approx((2 / 5 + 0) / 2)
    (alone,) = figures(labels("one", "dog"))
    assert (alone.confirmed, alone.agreement) == (None, None)


def test_verdicts_agree_or_do_not() -> None:
    safe, unsafe = [{"status": "safe", "score": 0.1}], [{"status": "unsafe", "score": 0.9}]
    first, second = figures(
        trial("one", "nsfw", [safe, unsafe]), trial("two", "nsfw", [safe, safe])
    )
    assert first.agreement == second.agreement == 0.5
    assert first.said[1] == Said(verdict="unsafe", score=0.9)


def test_the_wrong_name_rate_is_estimated_from_disagreement_alone() -> None:
    numbers, rates = random.Random(4), (0.05, 0.2, 0.35)  # noqa: S311 - no secret
    answers = [
        [
            Said(names=(f"wrong {numbers.random()}" if numbers.random() < rate else f"thing {n}",))
            for n in range(4000)
        ]
        for rate in rates
    ]
    agreement = naming_agreement(answers)
    found = [wrong_rate(agreement, model) for model in range(3)]
    assert found == pytest.approx(rates, abs=0.02)
    assert least_mean_wrong_rate(agreement) is None


def test_of_two_models_only_the_least_mean_rate_is_known() -> None:
    agreement = naming_agreement(
        [[Said(names=(name,)) for name in names] for names in (("a", "b", "c"), ("a", "b", "d"))]
    )
    assert wrong_rate(agreement, 0) is None
    assert least_mean_wrong_rate(agreement) == pytest.approx(1 / 6)


def test_agreement_names_the_better_of_three_and_speed_decides_between_equals() -> None:
    right = ("a red circle", "a blue square", "a green cross")
    found = ranked(
        figures(
            captions("wrong", "a dog", "a cat", "a bird", photos=9, seconds=1.0),
            captions("slow", *right, photos=9, seconds=90.0),
            captions("fast", *right, photos=9, seconds=9.0),
        )
    )
    assert [one.contestant.name for one in found] == ["fast", "slow", "wrong"]
    assert "times how much of it other models also say" in rule(3, "caption")


def test_of_two_the_one_with_more_usable_answers_is_first_however_slow() -> None:
    found = ranked(
        figures(
            captions("fast", "a dog \ufffd", "a cat", photos=9, seconds=1.0),
            captions("slow", "a dog", "a cat", photos=9, seconds=90.0),
        )
    )
    assert [one.contestant.name for one in found] == ["slow", "fast"]
    assert "No rule can see" in rule(2, "caption")


def test_only_what_was_asked_in_this_run_makes_the_speed() -> None:
    (found,) = figures(captions("one", "a dog", photos=6, seconds=12.0, alone=[3.0, 2.0, 9.0]))
    assert found.trial.per_hour == 1800
    assert found.trial.alone_s == 3.0
    (known,) = figures(captions("one", "a dog", known=1))
    assert (known.trial.per_hour, known.trial.alone_s) == (None, None)
