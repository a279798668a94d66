"""The figures of one task as a table: contestants side by side."""

from collections.abc import Callable, Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

from vision.compare.answers import Flag
from vision.compare.estimate import least_mean_wrong_rate, naming_agreement
from vision.compare.figures import Figures
from vision.compare.languages import UNCLEAR
from vision.compare.ranking import are_judged, models_of, rule
from vision.compare.report.elements import element, percent
from vision.tables import megabytes

NOTHING = "–"
JOULES_PER_WH, THOUSAND = 3600, 1000


class Row(NamedTuple):
    """A row of the table."""

    title: str
    hint: str
    cell: Callable[[Figures], str]
    tasks: tuple[str, ...] = ()
    """None: all."""


def _percent(share: float | None) -> str:
    return NOTHING if share is None else percent(share)


def _flags(figures: Figures) -> str:
    found = figures.flags
    return ", ".join(f"{found[flag]} {flag}" for flag in Flag if found[flag]) or "none"


def _languages(figures: Figures) -> str:
    found = figures.languages
    ordered = sorted(found, key=lambda name: (name == UNCLEAR, -found[name]))
    total = found.total()
    return (
        ", ".join(f"{name or 'unclear'} {percent(found[name] / total)}" for name in ordered)
        or NOTHING
    )


def _unsafe(figures: Figures) -> str:
    return str(sum(bool(said and said.verdict == "unsafe") for said in figures.said))


def _precision(figures: Figures) -> str:
    found = figures.precision
    share = found.share
    return NOTHING if share is None else f"{percent(share)} ({found.right} of {found.judged})"


def _alone(figures: Figures) -> str:
    seconds = figures.trial.alone_s
    return NOTHING if seconds is None else f"{seconds:.3g} s"


def _per_hour(figures: Figures) -> str:
    trial = figures.trial
    if trial.per_hour is None:
        return NOTHING
    return f"{rounded(trial.per_hour):,.0f} ({trial.photos:,} in {trial.seconds:.1f} s)"


def _memory(figures: Figures) -> str:
    trial = figures.trial
    if not trial.memory_mb:
        return NOTHING
    return f"{megabytes(trial.memory_mb)} on {', '.join(trial.devices) or '?'}"


def _energy(figures: Figures) -> str:
    joules = figures.trial.photo_j
    return NOTHING if joules is None else f"{joules / JOULES_PER_WH * THOUSAND:.3g} Wh"


ROWS = (
    Row("Usable answers", "that say something, without a flag", lambda f: _percent(f.usable)),
    Row("Coverage", "photos about which it says something", lambda f: _percent(f.coverage)),
    Row("Failed", "photos without any answer", lambda f: str(f.failed or "none")),
    Row("Flags", "answers that have a fault", _flags, ("caption", "labels")),
    Row("Language", "of the captions", _languages, ("caption",)),
    Row("Length", "words of a caption, median", lambda f: _number(f.words), ("caption",)),
    Row("Labels", "per photo, median", lambda f: _number(f.words), ("labels",)),
    Row(
        "Only once",
        "captions that no other photo has",
        lambda f: _percent(f.distinct),
        ("caption",),
    ),
    Row("Unsafe", "photos with this verdict", _unsafe, ("nsfw",)),
    Row("Agreement", "with other models", lambda f: _percent(f.agreement)),
    Row(
        "Agreed labels", "also named by another model", lambda f: _percent(f.confirmed), ("labels",)
    ),
    Row("Wrong first names", "estimated by disagreement", lambda f: _percent(f.wrong), ("labels",)),
    Row("Right by your labels", "of those that you added or removed", _precision, ("labels",)),
    Row(
        "Your labels found",
        "of those that you added",
        lambda f: _percent(f.precision.recall),
        ("labels",),
    ),
    Row("One photo alone", "seconds, median", _alone),
    Row("Photos per hour", "as many at once as workers take", _per_hour),
    Row("From the journal", "asked in earlier runs, not timed", lambda f: str(f.trial.known)),
    Row("Memory", "most that a worker needed", _memory),
    Row("Energy", "of the GPU, for a thousand photos", _energy),
)


def rounded(rate: float) -> float:
    """Return a rate with three digits that mean something."""
    return float(f"{rate:.3g}")


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:g}"


def figures_table(task: str, title: str, figures: Sequence[Figures], library: int) -> Element:
    """Return a section with the table of one task.

    Args:
        task: the task.
        title: what people call it.
        figures: of each contestant, best first.
        library: photos for which hours are told.
    """
    head = element("tr", {}, element("td", {}))
    for number, one in enumerate(figures, 1):
        rank = f"{number}. " if len(figures) > 1 else ""
        head.append(element("th", {"scope": "col"}, f"{rank}{one.contestant.name}"))
    body = element("tbody")
    for row in ROWS:
        cells = [row.cell(one) for one in figures]
        if (not row.tasks or task in row.tasks) and any(cell != NOTHING for cell in cells):
            body.append(_row(row.title, row.hint, [element("td", {}, cell) for cell in cells]))
    hours = [_hours_cell(one, library) for one in figures]
    body.append(_row("Hours", "for the photos in the library", hours))
    table = element("table", {}, element("thead", {}, head), body)
    box = {"class": "wide", "role": "region", "tabindex": 0, "aria-label": f"Figures: {title}"}
    section = element("section", {"class": "card figures"}, element("h3", {}, title))
    section.append(element("div", box, table))
    if len(figures) > 1:
        section.append(
            element(
                "p", {"class": "hint"}, rule(models_of(figures), task, judged=are_judged(figures))
            )
        )
    if bound := _bound(task, figures):
        section.append(element("p", {"class": "hint"}, bound))
    section.extend(_prompt(one) for one in figures if one.contestant.prompt)
    return section


def _row(title: str, hint: str, cells: Sequence[Element]) -> Element:
    name = element("th", {"scope": "row"}, title, element("span", {"class": "hint"}, hint))
    return element("tr", {}, name, *cells)


def _hours_cell(figures: Figures, library: int) -> Element:
    per_hour = figures.trial.per_hour
    if per_hour is None:
        return element("td", {}, NOTHING)
    return element("td", {"data-per-hour": f"{per_hour:.6g}"}, f"{library / per_hour:,.1f}")


def _bound(task: str, figures: Sequence[Figures]) -> str:
    if task != "labels":
        return ""
    least = least_mean_wrong_rate(naming_agreement([one.said for one in figures]))
    if least is None:
        return ""
    return (
        f"At least {percent(least)} of the first names are wrong, on average over both contestants."
    )


def _prompt(figures: Figures) -> Element:
    one = figures.contestant
    return element(
        "p", {"class": "hint"}, element("b", {}, f"{one.name}: "), element("q", {}, one.prompt)
    )
