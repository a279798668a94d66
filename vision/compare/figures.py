"""What came of a comparison, in figures: one row for each contestant."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from vision.compare.answers import Flag, Said
from vision.compare.contestants import Contestant
from vision.compare.estimate import naming_agreement, wrong_rate
from vision.compare.languages import UNCLEAR, language_named
from vision.compare.texts import words
from vision.compare.trial import Trial
from vision.compare.truth import Judged, Precision, precision_of

BUILT_IN_LANGUAGE = "English"
"""Of captions to which nobody has given a prompt."""


@dataclass(frozen=True)
class Figures:
    """How one contestant did its task."""

    trial: Trial
    said: tuple[Said | None, ...]
    """About each photo; ``None``: it failed."""
    language: str
    """The one that is wanted of its captions; empty: any."""
    agreement: float | None
    """Mean agreement of its answers with those of other models; ``None``: there are none."""
    confirmed: float | None
    """Share of its labels that another model names for the same photo."""
    wrong: float | None
    """Share of the photos whose first name is wrong, as far as disagreement tells."""
    precision: Precision
    """Of its labels, where a person has judged them in PhotoPrism."""

    @property
    def contestant(self) -> Contestant:
        """Whose figures these are."""
        return self.trial.contestant

    @property
    def answered(self) -> int:
        """Photos of which it says something."""
        return sum(bool(said and not said.is_empty) for said in self.said)

    @property
    def failed(self) -> int:
        """Photos for which there is no answer at all."""
        return sum(said is None for said in self.said)

    @property
    def coverage(self) -> float:
        """Share of the photos of which it says something."""
        return self.answered / len(self.said) if self.said else 0.0

    @property
    def usable(self) -> float:
        """Share of the photos of which it says something without a flag."""
        good = sum(
            bool(said and not said.is_empty and not said.flags(self.language)) for said in self.said
        )
        return good / len(self.said) if self.said else 0.0

    @property
    def flags(self) -> Counter[Flag]:
        """How many answers have each flag."""
        return Counter(flag for said in self.said if said for flag in said.flags(self.language))

    @property
    def languages(self) -> Counter[str]:
        """How many captions are in each language."""
        return Counter(said.language for said in self.said if said and said.text)

    @property
    def distinct(self) -> float | None:
        """Share of the captions that are no caption of another photo as well."""
        texts = Counter(said.text.casefold() for said in self.said if said and said.text)
        alone = sum(count == 1 for count in texts.values())
        return alone / texts.total() if texts else None

    @property
    def words(self) -> float | None:
        """Words of a caption, or labels of a photo: the median."""
        sizes = [len(said.names) or len(words(said.text)) for said in self.said if said]
        sizes = [size for size in sizes if size]
        return median(sizes) if sizes else None


def figures_of(
    trials: Sequence[Trial],
    names: Sequence[str],
    language: str,
    judged: Mapping[str, Judged] | None = None,
) -> list[Figures]:
    """Return the figures of all contestants of one task.

    Args:
        trials: of that task.
        names: of all photos.
        language: the one that is wanted of captions; empty: each contestant's own.
        judged: labels that a person has judged, by the photo's name.
    """
    truth = [(judged or {}).get(name) for name in names]
    said = [_said(trial, names) for trial in trials]
    agreement = naming_agreement(said)
    models = [trial.contestant.model_name for trial in trials]
    others = [
        [theirs for model, theirs in zip(models, said, strict=True) if model != own]
        for own in models
    ]  # another prompt of the same model is no second opinion
    return [
        Figures(
            trial=trial,
            said=tuple(own),
            language=_wanted(trial.contestant, own, language),
            agreement=_mean_agreement(own, others[place]),
            confirmed=_confirmed(own, others[place]),
            wrong=wrong_rate(agreement, place),
            precision=precision_of(own, truth),
        )
        for place, (trial, own) in enumerate(zip(trials, said, strict=True))
    ]


def _said(trial: Trial, names: Sequence[str]) -> list[Said | None]:
    task, answers = trial.contestant.task, trial.answers
    return [Said.of(task, answers[name].result) if name in answers else None for name in names]


def _wanted(contestant: Contestant, said: Sequence[Said | None], language: str) -> str:
    """Return the language that is wanted of a contestant's captions.

    A prompt of a person's own may be in another language than what it asks for, so the language of
    most answers to it counts.
    """
    if language:
        return language_named(language)
    if not contestant.prompt:
        return BUILT_IN_LANGUAGE
    found = Counter(one.language for one in said if one and one.language != UNCLEAR)
    return max(found, key=lambda name: found[name], default="")


def _mean_agreement(
    own: Sequence[Said | None], others: Sequence[Sequence[Said | None]]
) -> float | None:
    shares = [
        one.agreement(two)
        for other in others
        for one, two in zip(own, other, strict=True)
        if one and two and not one.is_empty and not two.is_empty
    ]
    return fmean(shares) if shares else None


def _confirmed(own: Sequence[Said | None], others: Sequence[Sequence[Said | None]]) -> float | None:
    named = confirmed = 0
    for place, one in enumerate(own):
        if one and one.names:
            theirs = [said for other in others if (said := other[place])]
            named += len(one.names)
            confirmed += len(one.names_confirmed_by(theirs))
    return confirmed / named if named and others else None


def disagreement(said: Mapping[int, Said]) -> float:
    """Return how much contestants disagree about a photo, from 0 to 1; 0: fewer than two answer."""
    answers = [one for one in said.values() if not one.is_empty]
    shares = [
        one.agreement(two) for place, one in enumerate(answers) for two in answers[place + 1 :]
    ]
    return 1 - fmean(shares) if shares else 0.0
