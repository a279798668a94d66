"""From answers per image to the result of a job."""

from collections.abc import Iterable, Sequence

from shared.messages import Label, Nsfw, Result
from shared.vocabulary import NsfwStatus, Task
from workers.model.family import Answer


def combine(answers: Sequence[Answer], tasks: Sequence[Task]) -> Result:
    """Combine the answers for a job's images, in order, into its one result.

    The caption is the first image's; the images are crops of one photo, so their labels are merged;
    NSFW has one entry per image, ``unavailable`` where the model gave none.
    """
    result = Result()
    if Task.CAPTION in tasks:
        result.caption = answers[0].caption
    if Task.LABELS in tasks:
        result.labels = merge_labels(label for answer in answers for label in answer.labels)
    if Task.NSFW in tasks:
        result.nsfw = tuple(answer.nsfw or _NO_VERDICT for answer in answers)
    return result


def merge_labels(labels: Iterable[Label]) -> tuple[Label, ...]:
    """Merge labels by name, the most confident winning; most confident first."""
    best: dict[str, Label] = {}
    for label in labels:
        key = label.name.casefold()
        if key not in best or label.confidence > best[key].confidence:
            best[key] = label
    return tuple(sorted(best.values(), key=lambda label: -label.confidence))


_NO_VERDICT = Nsfw(status=NsfwStatus.UNAVAILABLE, reason="The model gave no verdict.")
