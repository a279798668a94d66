"""What each contestant says of each photo, side by side."""

from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element

from vision.compare.answers import Said
from vision.compare.figures import Figures, disagreement
from vision.compare.report.elements import element, percent

UNSAFE = "unsafe"


def photo_articles(
    names: Sequence[str],
    pictures: Sequence[Element],
    contests: Mapping[str, Sequence[Figures]],
    titles: Mapping[str, str],
) -> list[Element]:
    """Return an element for each photo, those first on which contestants differ most.

    Args:
        names: of the photos.
        pictures: of the photos.
        contests: by task: the contestants, in the order in which they are shown.
        titles: what people call the tasks.
    """
    order = sorted(range(len(names)), key=lambda photo: -_difference(contests, photo))
    articles = []
    for photo in order:
        article = element("article", {"class": "photo card", "id": f"photo-{photo}"})
        article.append(_figure(names[photo], pictures[photo], contests.get("nsfw", ()), photo))
        article.append(
            element(
                "div",
                {"class": "tasks"},
                *(_task(task, titles[task], found, photo) for task, found in contests.items()),
            )
        )
        articles.append(article)
    return articles


def _difference(contests: Mapping[str, Sequence[Figures]], photo: int) -> float:
    return max((disagreement(_said(found, photo)) for found in contests.values()), default=0.0)


def _said(figures: Sequence[Figures], photo: int) -> dict[int, Said]:
    return {number: said for number, one in enumerate(figures) if (said := one.said[photo])}


def _figure(name: str, picture: Element, judges: Sequence[Figures], photo: int) -> Element:
    unsafe = any(said.verdict == UNSAFE for said in _said(judges, photo).values())
    box = element("div", {"class": "picture blurred" if unsafe else "picture"}, picture)
    if unsafe:
        tick = element("input", {"type": "checkbox"})
        box.append(element("label", {"class": "reveal"}, tick, " Show the picture"))
    return element("figure", {}, box, element("figcaption", {}, name))


def _task(task: str, title: str, figures: Sequence[Figures], photo: int) -> Element:
    answers = element("div", {"class": "grid"})
    said = _said(figures, photo)
    for number, one in enumerate(figures):
        others = [found for other, found in said.items() if other != number]
        content = _content(task, said.get(number), others, f"said-{task}-{photo}-{number}")
        answer = element("div", {"class": "answer"}, element("h4", {}, one.contestant.name))
        answer.append(content)
        for flag in said[number].flags(one.language) if number in said else ():
            answer.append(element("p", {"class": "flag"}, f"⚠ {flag}"))
        answers.append(answer)
    return element("section", {"class": "task"}, element("h3", {}, title), answers)


def _content(task: str, said: Said | None, others: Sequence[Said], identity: str) -> Element:
    box = element("div", {"class": "said", "id": identity, "dir": "auto"})
    if said is None:
        box.append(element("p", {"class": "hint"}, "It failed."))
    elif said.is_empty:
        box.append(element("p", {"class": "hint"}, "It says nothing."))
    elif task == "caption":
        box.append(element("p", {"class": "caption"}, said.text))
    elif task == "labels":
        box.append(_labels(said, others))
    else:
        score = "" if said.score is None else f", score {percent(said.score)}"
        box.append(element("p", {"class": f"verdict {said.verdict}"}, f"{said.verdict}{score}"))
    return box


def _labels(said: Said, others: Sequence[Said]) -> Element:
    agreed = set(said.names_confirmed_by(others))
    names = element("ul", {"class": "labels"})
    for name in said.names:
        kind = "agreed" if name in agreed else "disputed"
        names.append(element("li", {"class": kind if others else "label"}, name))
    return names
