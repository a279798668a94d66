"""``vision run``: questions about files and folders of photos."""

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vision import exits
from vision.console import put, say
from vision.options import DEFAULT_URL, Key, ModelNames, Url, words
from vision.runner.asking import Asker
from vision.runner.capacity import Follower
from vision.runner.driving import drive
from vision.runner.files import NoSuchFile, Photo, find_photos
from vision.runner.gate import Gate
from vision.runner.journal import Journal, JournalError
from vision.runner.run import Runner
from vision.runner.sinks import JsonLines, Sink, SinkError, Table
from vision.runner.wanted import AUTO, CannotRun, Wanted, most_in_flight
from vision.runner.work import Question
from vision.service import Service
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


def default_journal() -> Path:
    """Return where the journal is if nobody says: where programs of a user keep their state."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "vision-workers" / "journal.sqlite"


def run(  # noqa: PLR0913 - the options of the command
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILES… FOLDERS…",
            help="Photos, and folders that are searched for photos. With --retry-failed none are "
            "needed.",
            show_default=False,
        ),
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = "",
    *,
    task: Annotated[
        str,
        typer.Option(
            "--task",
            metavar="TASKS",
            help="Tasks, separated by commas: caption, labels, nsfw.",
            show_default="those that models do which run, or that --model names",
        ),
    ] = "",
    model: ModelNames = "",
    prompt: Annotated[
        str,
        typer.Option(metavar="TEXT", help="What models that follow prompts are asked."),
    ] = "",
    language: Annotated[
        str, typer.Option(metavar="NAME", help="Language of captions and labels, as `German`.")
    ] = "",
    out: Annotated[
        Out | None,
        typer.Option(
            help="Form of the results: a table, lines of JSON, or a sidecar beside each photo.",
            show_default="the ending of --output, or jsonl",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File to append to.", show_default="standard output"),
    ] = None,
    concurrency: Annotated[
        str,
        typer.Option(
            metavar="N", help="Requests in flight at most; `auto`: what workers can take."
        ),
    ] = AUTO,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Ask again what failed in earlier runs.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list the photos that would be asked about.")
    ] = False,
    patience: Annotated[
        float,
        typer.Option(
            min=0, metavar="SECONDS", help="How long a service may answer nobody; then it ends."
        ),
    ] = 600,
    exiftool: Annotated[
        str,
        typer.Option(
            metavar="PROGRAM", help="ExifTool, which writes sidecars.", show_default="on the PATH"
        ),
    ] = "",
    journal: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File that remembers what was answered.",
            show_default="in ~/.local/state",
        ),
    ] = None,
) -> None:
    """Caption, label and judge photos in files and folders.

    After a kill or Ctrl-C the same command goes on where it was: no photo is lost, none is asked
    about twice, and each has one line in the output.
    """
    form = out or _form_of(output)
    service = Service(url, key)
    with ExitStack() as cleanup:
        try:
            wanted = Wanted(words(task), words(model), prompt, language)
            questions = wanted.questions(service.models())
            memory = cleanup.enter_context(closing(Journal(journal or default_journal())))
            photos = _photos(paths or [], memory, questions, retry_failed=retry_failed)
            gate = Gate(most_in_flight(concurrency, service, questions))
            asker = Asker(service, gate, patience)
            runner = Runner(memory, questions, gate, asker, retry_failed=retry_failed)
            if dry_run:
                _list(runner, photos, questions)
                return
            sink = _sink(form, output, memory, exiftool)
        except (CannotRun, NoSuchFile, ExifToolError, SinkError, JournalError) as err:
            say(str(err), "red")
            raise typer.Exit(exits.USAGE) from err
        follower = Follower(service, questions, gate) if concurrency == AUTO else None
        if status := drive(runner, photos, sink, follower):
            raise typer.Exit(status)


def _list(runner: Runner, photos: Sequence[Photo], questions: Sequence[Question]) -> None:
    left = 0
    for photo in photos:
        if runner.known(photo) is None:
            left += 1
            put(photo.name)
    asked = ", ".join(f"{question.task} of {question.model}" for question in questions)
    say(f"{left:,} of {len(photos):,} photos would be asked about: {asked}.")


def _photos(
    paths: Sequence[Path], journal: Journal, questions: Sequence[Question], *, retry_failed: bool
) -> list[Photo]:
    if paths:
        return find_photos(paths)
    if not retry_failed:
        raise CannotRun("Name photos or folders.")
    return [Photo(Path(name)) for name in journal.failed(questions)]


def _form_of(output: Path | None) -> Out:
    return Out.CSV if output and output.suffix.lower() == ".csv" else Out.JSONL


def _sink(form: Out, output: Path | None, journal: Journal, exiftool: str) -> Sink:
    if form is Out.XMP:
        if output:
            raise CannotRun("Sidecars lie beside the photos: leave --output out.")
        return Sidecars(journal, ExifTool(exiftool))
    return (Table if form is Out.CSV else JsonLines)(output, sys.stdout)
