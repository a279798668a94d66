"""``vision compare``: which model is best for a person's own photos, as a report to vote in."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from vision import exits
from vision.compare.contestants import Contestant, chosen_models, contestants, read_prompts
from vision.compare.ranking import contests_of
from vision.compare.report.document import Comparison, document
from vision.compare.sampling import sample
from vision.compare.thumbnails import shown
from vision.compare.trial import Course, Interrupted, Trial
from vision.compare.truth import Judged, judgements
from vision.console import notes, say
from vision.options import DEFAULT_URL, JournalFile, Key, Patience, Url, default_journal, words
from vision.photoprism.client import PhotoPrism
from vision.photoprism.connection import TOKEN_VARIABLE, Connection, PhotoPrismError
from vision.photoprism.vision_yml import Door, entries
from vision.runner.asking import GaveUp
from vision.runner.crew import PATIENCE_S
from vision.runner.files import NoSuchFile, Photo, find_photos
from vision.runner.journal import Journal, JournalError
from vision.runner.wanted import CannotRun
from vision.schemas import BASE_TASKS
from vision.service import Service

PHOTOPRISM_PATIENCE_S = 30.0
"""How long a PhotoPrism may not answer."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(compare)


def compare(  # noqa: PLR0913 - the options of the command
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDERS… FILES…", help="Photos, and folders to search for photos."),
    ],
    url: Url = DEFAULT_URL,
    key: Key = "",
    *,
    models: Annotated[
        str,
        typer.Option(
            metavar="NAMES", help="Models, separated by commas.", show_default="all that run"
        ),
    ] = "",
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File with caption prompts, one per line, or `name = prompt`. Models that follow "
            "prompts take part once with each.",
        ),
    ] = None,
    task: Annotated[
        str,
        typer.Option(
            metavar="TASKS",
            help="Tasks, separated by commas: caption, labels, nsfw.",
            show_default="those that the models do",
        ),
    ] = "",
    language: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Language that captions and labels should have, such as `German`."
        ),
    ] = "",
    photos: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Number of photos to compare, in effect chosen at random."
        ),
    ] = 50,
    library: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of photos to estimate hours for.")
    ] = 10_000,
    output: Annotated[Path, typer.Option(metavar="FILE", help="File for the report.")] = Path(
        "comparison.html"
    ),
    address: Annotated[
        str,
        typer.Option(
            help="Address at which PhotoPrism reaches the service, for the vision.yml.",
            metavar="URL",
            show_default="--url",
        ),
    ] = "",
    photoprism: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="Address of a PhotoPrism that has these photos: labels that you corrected there "
            "show which models are right.",
            show_default=False,
        ),
    ] = "",
    token: Annotated[
        str,
        typer.Option(
            envvar=TOKEN_VARIABLE,
            help="App password of that PhotoPrism.",
            metavar="PASSWORD",
            show_default=False,
        ),
    ] = "",
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh", help="Ask and measure everything again, whatever the journal holds."
        ),
    ] = False,
    patience: Patience = PATIENCE_S,
    journal: JournalFile = None,
) -> None:
    """Compare models on your own photos, and write a report in which you vote blind.

    The models are asked and measured one after the other. After Ctrl-C, the same command
    continues.
    """
    service = Service(url, key)
    try:
        known = service.models()
        tasks = _tasks(words(task))
        able = chosen_models(known, words(models), tasks)
        named = read_prompts(prompts) if prompts else {}
        who, remarks = contestants(able, tasks, named, language)
        chosen = _photos(paths, photos)
        _try_to_write(output)
        judged = _judged(photoprism, token, chosen) if photoprism else {}
        with _journal(journal or default_journal(), fresh=fresh) as memory:
            trials = _hold(Course(service, memory, chosen, patience), who, len(chosen))
    except (CannotRun, NoSuchFile, JournalError, PhotoPrismError) as err:
        say(str(err), "red")
        raise typer.Exit(exits.USAGE) from err
    except (GaveUp, Interrupted, KeyboardInterrupt) as err:
        raise typer.Exit(_told(err, fresh=fresh)) from err
    for remark in (remarks := [*remarks, *_failures(trials)]):
        say(remark)
    names = [photo.name for photo in chosen]
    comparison = Comparison(
        about=f"{len(chosen):,} photos from {', '.join(map(str, paths))}, "
        f"{datetime.now().astimezone():%d %B %Y}.",
        photos=shown(chosen, paths),
        contests=contests_of(trials, names, language, judged),
        entries=entries(
            known, (), address or service.url, Door.VISION, needs_key=service.needs_key()
        ),
        library=library,
        remarks=remarks,
    )
    _write(output, document(comparison))
    say(f"The report is {output}. Open it in a browser, and vote.")


def _told(err: BaseException, *, fresh: bool) -> int:
    """Say why it ended early; return the exit status."""
    if isinstance(err, GaveUp):
        say(str(err), "red")
    if not fresh:  # else nothing is kept
        say("The same command continues from here.")
    return exits.UNAVAILABLE if isinstance(err, GaveUp) else exits.INTERRUPTED


def _tasks(wanted: Sequence[str]) -> Sequence[str]:
    for task in wanted:
        if task not in BASE_TASKS:
            raise CannotRun(f"There is no task {task!r}. Tasks: {', '.join(BASE_TASKS)}.")
    return [task for task in BASE_TASKS if not wanted or task in wanted]


def _photos(paths: Sequence[Path], count: int) -> list[Photo]:
    found = find_photos(paths)
    if not found:
        raise CannotRun(f"There are no photos in {', '.join(map(str, paths))}.")
    return sample(found, count)


def _judged(url: str, token: str, photos: Sequence[Photo]) -> dict[str, Judged]:
    """Return what a person has said of labels in PhotoPrism, and say of how many photos.

    Raises:
        PhotoPrismError: PhotoPrism does not tell.
    """
    connection = Connection(url, token, PHOTOPRISM_PATIENCE_S, time.sleep)
    judged = judgements(PhotoPrism(connection), photos)
    say(f"In PhotoPrism, labels of {len(judged):,} of these photos were judged by a person.")
    return judged


def _try_to_write(output: Path) -> None:
    """See before hours of work whether the report can be written.

    Raises:
        CannotRun: it cannot.
    """
    try:
        output.open("a").close()
    except OSError as err:
        raise CannotRun(_cannot_write(output, err)) from err


def _write(output: Path, report: str) -> None:
    try:
        output.write_text(report, encoding="utf-8")
    except OSError as err:
        say(_cannot_write(output, err), "red")
        raise typer.Exit(exits.USAGE) from err


def _cannot_write(output: Path, err: OSError) -> str:
    return f"{output} cannot be written: {err.strerror}."


@contextlib.contextmanager
def _journal(path: Path, *, fresh: bool) -> Iterator[Journal]:
    with contextlib.ExitStack() as cleanup:
        if fresh:
            path = Path(cleanup.enter_context(TemporaryDirectory())) / "journal.sqlite"
        yield cleanup.enter_context(contextlib.closing(Journal(path)))


def _hold(course: Course, who: Sequence[Contestant], photos: int) -> list[Trial]:
    trials = []
    with notes.status("") as status:
        for one in who:

            def seen(done: int, one: Contestant = one) -> None:
                status.update(f"{one.task} of {one.name}: {done:,} of {photos:,} photos")

            trials.append(course.hold(one, seen))
    return trials


def _failures(trials: Sequence[Trial]) -> list[str]:
    return [
        f"{trial.contestant.name} failed at {trial.contestant.task} of {len(trial.faults):,} "
        f"photos, for example: {next(iter(trial.faults.values()))}"
        for trial in trials
        if trial.faults
    ]
