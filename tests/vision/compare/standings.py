"""Trials whose outcome a test writes down, without a service."""

from collections.abc import Mapping, Sequence
from typing import Any

from vision.compare.contestants import Contestant
from vision.compare.figures import Figures, figures_of
from vision.compare.trial import Trial
from vision.compare.truth import Judged
from vision.runner.work import Answer
from vision.schemas import Model, Worker

CHATS = ("answer", "caption", "labels", "nsfw")


def contestant(name: str, task: str, prompt: str = "") -> Contestant:
    worker = Worker(worker=name, state="ready", recycles={"count": 1})
    model = Model(name=name, version="1", tasks=CHATS, served=True, workers=(worker,))
    return Contestant(task, model, name, prompt)


def trial(name: str, task: str, results: Sequence[Any], prompt: str = "", **measured: Any) -> Trial:
    """A trial that gave these results of photos "0", "1" …; an error is why one has none."""
    made = Trial(contestant(name, task, prompt), **measured)
    for photo, result in enumerate(results):
        if isinstance(result, Exception):
            made.faults[str(photo)] = str(result)
        else:
            made.answers[str(photo)] = Answer(result, name, "1", 0.5, 0.0)
    return made


def captions(name: str, *texts: str | None, **more: Any) -> Trial:
    results = [None if text is None else {"text": text} for text in texts]
    return trial(name, "caption", results, **more)


def labels(name: str, *photos: str, **more: Any) -> Trial:
    """Labels as ``dog, animal/cat``: with commas between them, categories behind a slash."""
    return trial(name, "labels", [_labels(photo) for photo in photos], **more)


def _labels(text: str) -> list[Mapping[str, Any]]:
    found = [word.strip().split("/") for word in text.split(",") if word.strip()]
    return [{"name": name, "categories": categories} for name, *categories in found]


def figures(
    *trials: Trial, language: str = "", judged: Mapping[str, Judged] | None = None
) -> list[Figures]:
    photos = len(trials[0].answers) + len(trials[0].faults)
    return figures_of(trials, [str(photo) for photo in range(photos)], language, judged)
