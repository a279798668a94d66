"""Which contestant is first where nobody has voted: by a rule that the report states."""

from collections.abc import Mapping, Sequence

from vision.compare.figures import Figures, figures_of
from vision.compare.trial import Trial
from vision.compare.truth import ENOUGH as ENOUGH_JUDGED
from vision.compare.truth import Judged
from vision.schemas import BASE_TASKS

MARGIN = 0.02
"""Contestants so near to the best are as good, and the fastest of them comes first."""
ENOUGH = 3
"""Models of which agreement can tell one from the others; that of two is the same for both."""


def are_judged(figures: Sequence[Figures]) -> bool:
    """Return whether a person has judged enough labels of each contestant."""
    return min((one.precision.judged for one in figures), default=0) >= ENOUGH_JUDGED


def models_of(figures: Sequence[Figures]) -> int:
    """Return how many models there are among contestants."""
    return len({one.contestant.model_name for one in figures})


def quality(figures: Figures, models: int, *, judged: bool = False) -> float:
    """Return how good a contestant is, from 0 to 1.

    It is the share of photos with a usable answer, times how much it is to be trusted: the share of
    its judged labels that are right; else, with three models or more, the share in which its names
    are right as far as disagreement tells, or its agreement with the others.

    Args:
        figures: the contestant's.
        models: how many there are.
        judged: whether a person has judged enough labels of all of them.
    """
    if judged:
        return figures.usable * (figures.precision.share or 0.0)
    if models < ENOUGH:
        return figures.usable
    if figures.wrong is not None:
        return figures.usable * (1 - figures.wrong)
    return figures.usable * (figures.agreement or 0.0)


def ranked(figures: Sequence[Figures]) -> list[Figures]:
    """Return contestants of one task, best first.

    Those within :data:`MARGIN` of the best are as good as it: the fastest of them is first. Then
    the same holds for the others.
    """
    judged = are_judged(figures)
    left = [(quality(one, models_of(figures), judged=judged), one) for one in figures]
    order = []
    while left:
        best = max(good for good, _ in left)
        near = [(good, one) for good, one in left if good >= best - MARGIN]
        first = max(near, key=lambda pair: (_speed(pair[1]), pair[0]))
        order.append(first[1])
        left.remove(first)
    return order


def contests_of(
    trials: Sequence[Trial], names: Sequence[str], language: str, judged: Mapping[str, Judged]
) -> dict[str, list[Figures]]:
    """Return the contestants of each task, best first.

    Args:
        trials: of all tasks.
        names: of all photos.
        language: the one that is wanted; empty: each contestant's own.
        judged: labels that a person has judged, by the photo's name.
    """
    contests = {}
    for task in BASE_TASKS:
        if found := [trial for trial in trials if trial.contestant.task == task]:
            contests[task] = ranked(figures_of(found, names, language, judged))
    return contests


def _speed(figures: Figures) -> float:
    """Return photos per hour, or what one after the other would make; 0: not measured."""
    trial = figures.trial
    return trial.per_hour or (3600 / trial.alone_s if trial.alone_s else 0.0)


def rule(models: int, task: str, *, judged: bool = False) -> str:
    """Return the rule for one task as sentences for the report.

    Args:
        models: how many there are.
        task: the task.
        judged: whether a person has judged enough labels of all of them.
    """
    usable = "the share of photos with a usable answer, which is one without a flag"
    near = f"Of those within {MARGIN * 100:.0f} points of the best, the fastest is first."
    if judged:
        return (
            f"Without votes, the order is by {usable}, times the share of labels that are right "
            f"according to yours in PhotoPrism. {near}"
        )
    if models < ENOUGH:
        return (
            f"Without votes, the order is by {usable}. {near} No rule can see here whether an "
            "answer is true: agreement distinguishes models only if there are at least three."
        )
    trust = {
        "labels": "the estimated share of photos whose first name is right",
        "caption": "how much of it other models also say",
    }.get(task, "how often other models say the same")
    return (
        f"Without votes, the order is by {usable}, times {trust}. {near} This rewards models that "
        "say what most say, and no rule can see what is true, so please vote."
    )
