"""``vision run``: questions about files and folders of photos."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vision import exits
from vision.console import lines_output, say
from vision.options import (
    DEFAULT_URL,
    Between,
    Concurrency,
    DryRun,
    JournalFile,
    KeepWaiting,
    Key,
    Language,
    ModelNames,
    Patience,
    Prompt,
    RetryFailed,
    Tasks,
    Urgency,
    Url,
    default_journal,
    words,
)  # fmt: skip
from vision.runner.announcing import Announcer
from vision.runner.crew import PATIENCE_S, Manner, gather
from vision.runner.driving import drive
from vision.runner.files import NoSuchFile, Photo, find_photos
from vision.runner.journal import Journal, JournalError
from vision.runner.sinks import JsonLines, Sink, SinkError, Table
from vision.runner.wanted import AUTO, CannotRun, Wanted
from vision.runner.work import Question
from vision.service import Priority, Service
from vision.xmp.exiftool import ExifTool, ExifToolError
from vision.xmp.sidecars import Sidecars


class Out(StrEnum):
    """The form of the results."""

    CSV = "csv"
    JSONL = "jsonl"
    XMP = "xmp"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(run)


def run(  # noqa: PLR0913 - the options of the command
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILES… FOLDERS…",
            help="Photos, and folders to search for photos. Optional with --retry-failed.",
            show_default=False,
        ),
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = "",
    *,
    task: Tasks = "",
    model: ModelNames = "",
    prompt: Prompt = "",
    language: Language = "",
    out: Annotated[
        Out | None,
        typer.Option(
            help="Format of the results: a table, lines of JSON, or a sidecar beside each photo.",
            show_default="from the ending of --output, or jsonl",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File to append to.", show_default="standard output"),
    ] = None,
    concurrency: Concurrency = AUTO,
    priority: Urgency = Priority.BULK,
    retry_failed: RetryFailed = False,
    dry_run: DryRun = False,
    patience: Patience = PATIENCE_S,
    keep_waiting: KeepWaiting = False,
    between: Between = "",
    exiftool: Annotated[
        str,
        typer.Option(
            metavar="PROGRAM", help="ExifTool, which writes sidecars.", show_default="on the PATH"
        ),
    ] = "",
    journal: JournalFile = None,
) -> None:
    """Write captions, labels and NSFW scores for photos in files and folders.

    After a kill or Ctrl-C, the same command continues where it stopped: no photo is lost or asked
    about twice, and each has one line in the output.
    """
    form = out or _form_of(output)
    service = Service(url, key, priority)
    manner = Manner(concurrency, patience, between, keep_waiting, retry_failed)
    with ExitStack() as cleanup:
        try:
            memory = cleanup.enter_context(closing(Journal(journal or default_journal())))
            wanted = Wanted(words(task), words(model), prompt, language)
            crew = gather(service, wanted, manner, memory)
            photos = _photos(paths or [], memory, crew.questions, retry_failed=retry_failed)
            if dry_run:
                crew.list_open(photos)
                return
            sink = _sink(form, output, memory, exiftool)
        except (CannotRun, NoSuchFile, ExifToolError, SinkError, JournalError) as err:
            say(str(err), "red")
            raise typer.Exit(exits.USAGE) from err
        announcer = Announcer(service, "folders", _name_of(paths or []))
        if status := drive(crew.runner, photos, sink, crew.follower, announcer):
            raise typer.Exit(status)


def _name_of(paths: Sequence[Path]) -> str:
    """Return how operators of the service know the run: they need not know where folders are."""
    return ", ".join(path.absolute().name for path in paths) or "what failed"


def _photos(
    paths: Sequence[Path], journal: Journal, questions: Sequence[Question], *, retry_failed: bool
) -> list[Photo]:
    if paths:
        return find_photos(paths)
    if not retry_failed:
        raise CannotRun("Name the photos or folders.")
    # Photos of a PhotoPrism, which are in the same journal, have other names.
    failed = [Photo.named(name) for name in journal.failed(questions) if Path(name).is_absolute()]
    there = [photo for photo in failed if not photo.is_gone]
    if gone := len(failed) - len(there):  # the journal keeps them: their disk may come back
        are = "is" if gone == 1 else "are"
        say(f"{gone:,} of the photos that failed {are} no longer there, and left out.")
    return there


def _form_of(output: Path | None) -> Out:
    return Out.CSV if output and output.suffix.lower() == ".csv" else Out.JSONL


def _sink(form: Out, output: Path | None, journal: Journal, exiftool: str) -> Sink:
    if form is Out.XMP:
        if output:
            raise CannotRun("Sidecars are written beside the photos: leave out --output.")
        return Sidecars(journal, ExifTool(exiftool))
    return (Table if form is Out.CSV else JsonLines)(output, lines_output())
