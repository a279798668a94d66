"""Puts a report together: its own page, filled with what was found."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, fromstring, tostring

from vision.compare.figures import Figures
from vision.compare.report.elements import add, data_url, element, policy_hash
from vision.compare.report.photos import photo_articles
from vision.compare.report.tables import figures_table
from vision.compare.thumbnails import Shown
from vision.photoprism.vision_yml import Entries
from vision.schemas import BASE_TASKS

HERE = Path(__file__).parent
TITLES = {"caption": "Captions", "labels": "Labels", "nsfw": "NSFW"}
IN_SENTENCES = {"caption": "captions", "labels": "labels", "nsfw": "NSFW"}
POLICY = (
    "default-src 'none'; img-src data:; style-src {style}; script-src {script}; base-uri 'none'; "
    "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)


@dataclass(frozen=True)
class Comparison:
    """All that a report tells."""

    about: str
    """What was compared, and when, as a sentence."""
    photos: Sequence[Shown]
    contests: dict[str, list[Figures]]
    """By task: the contestants, best first."""
    entries: Entries
    """Of the service's defaults; those of winners take their places."""
    library: int
    """Photos for which hours are told."""
    remarks: Sequence[str] = ()


def document(comparison: Comparison) -> str:
    """Return the report as HTML."""
    root = fromstring(_text("report.html"))  # noqa: S314 - a file of our own
    at = {found.get("id"): found for found in root.iter() if found.get("id")}
    style, script = _text("report.css"), _text("report.js")
    at["style"].text, at["script"].text = style, script
    at["policy"].set("content", POLICY.format(style=policy_hash(style), script=policy_hash(script)))
    add(at["about"], comparison.about)
    for remark in comparison.remarks:
        at["remarks"].append(element("li", {}, remark))
    at["library"].set("value", str(comparison.library))
    for task, figures in comparison.contests.items():
        at["tables"].append(figures_table(task, TITLES[task], figures, comparison.library))
    names = [photo.name for photo in comparison.photos]
    pictures = [_picture(photo) for photo in comparison.photos]
    for article in photo_articles(names, pictures, comparison.contests, TITLES):
        at["answers"].append(article)
    _fill_entries(at, comparison)
    at["data"].text = _as_data(data_of(comparison))
    return "<!doctype html>\n" + tostring(root, encoding="unicode", method="html") + "\n"


def data_of(comparison: Comparison) -> dict[str, Any]:
    """Return what the page's script has to know."""
    entries, contests = comparison.entries, comparison.contests
    tasks = []
    for task in BASE_TASKS:
        figures = contests.get(task, [])
        own = [_entries_with(entries, one) for one in figures] or [entries]
        tasks.append(
            {
                "task": task,
                "title": TITLES[task],
                "in_sentences": IN_SENTENCES[task],
                "names": [one.contestant.name for one in figures],
                "entries": [found.entry(task) for found in own],
                "thresholds": [found.thresholds() if task == "nsfw" else "" for found in own],
                "ballots": _ballots(task, figures),
            }
        )
    content = {"photos": [photo.name for photo in comparison.photos], "tasks": tasks}
    identity = hashlib.sha256(json.dumps([content, _all_said(contests)]).encode()).hexdigest()
    return {"id": identity[:16], "head": entries.head(), **content}


def winning_entries(comparison: Comparison) -> Entries:
    """Return the entries of those who are first by the rule."""
    entries = comparison.entries
    for figures in comparison.contests.values():
        entries = _entries_with(entries, figures[0])
    return entries


def _entries_with(entries: Entries, figures: Figures) -> Entries:
    one = figures.contestant
    return entries.with_model(one.task, one.model, one.prompt, one.system)


def _ballots(task: str, figures: Sequence[Figures]) -> list[dict[str, Any]]:
    """Return the photos to vote on: those of which the contestants say different things.

    Contestants who say the same share a group.
    """
    if task == "nsfw" or len(figures) < 2:
        return []
    ballots = []
    for photo in range(len(figures[0].said)):
        groups: dict[object, list[int]] = {}
        for number, one in enumerate(figures):
            said = one.said[photo]
            if said and not said.is_empty:
                groups.setdefault((said.text, said.names), []).append(number)
        if len(groups) > 1:
            ballots.append({"photo": photo, "groups": list(groups.values())})
    return ballots


def _fill_entries(at: dict[str | None, Element], comparison: Comparison) -> None:
    winners = [
        f"{figures[0].contestant.name} for {IN_SENTENCES[task]}"
        for task, figures in comparison.contests.items()
        if len(figures) > 1
    ]
    if winners:
        add(at["winner"], f"By the rule, as nobody has voted yet: {', '.join(winners)}.")
    add(at["yml"], winning_entries(comparison).text())


def _picture(photo: Shown) -> Element:
    if photo.picture is None:
        return element("p", {"class": "no-picture"}, photo.reason)
    address = data_url("image/webp", photo.picture)
    return element("img", {"src": address, "alt": photo.name, "loading": "lazy"})


def _all_said(contests: dict[str, list[Figures]]) -> Any:  # noqa: ANN401 - JSON
    return {
        task: [[(s.text, s.names, s.verdict) if s else None for s in one.said] for one in figures]
        for task, figures in contests.items()
    }


def _as_data(content: object) -> str:
    """Return JSON that nothing in it can end early: `<` begins no tag there."""
    return json.dumps(content, ensure_ascii=True).replace("<", "\\u003c")


def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
