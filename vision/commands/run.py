"""``vision run``: questions about files and folders of photos."""

import contextlib
import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from vision import exits
from vision.choice import NoModel, choose
from vision.console import put, say
from vision.options import DEFAULT_URL, Key, ModelNames, Url, words
from vision.runner.asking import Asker, GaveUp
from vision.runner.capacity import Follower, capacity
from vision.runner.files import NoSuchFile, Photo, find_photos
from vision.runner.gate import Gate
from vision.runner.journal import Journal, JournalError
from vision.runner.progress import Report
from vision.runner.run import Runner
from vision.runner.sinks import JsonLines, NotWritten, Sink, SinkError, Table
from vision.runner.work import Outcome, Question
from vision.schemas import BASE_TASKS, Model
from vision.service import Service
from vision.xmp.exiftool import ExifTool, ExifToolError
from vision.xmp.sidecars import Sidecars

AUTO = "auto"
CHATS = "answer"
"""The task of models that chat."""


class Out(StrEnum):
    """The form of the results."""

    CSV = "csv"
    JSONL = "jsonl"
    XMP = "xmp"


class CannotRun(Exception):
    """The command line asks for what cannot be done; the message says why."""


class Wanted(NamedTuple):
    """Which questions the command line asks for."""

    tasks: tuple[str, ...]
    models: tuple[str, ...]
    prompt: str
    language: str

    def questions(self, models: Sequence[Model]) -> list[Question]:
        """Return a question for each task.

        Args:
            models: those of the catalogue.

        Raises:
            CannotRun: a task is unknown, or no model does it as asked.
        """
        for task in self.tasks:
            if task not in BASE_TASKS:
                raise CannotRun(f"There is no task {task!r}. Tasks: {', '.join(BASE_TASKS)}.")
        try:
            return [self._question(task, choose(models, task, self.models)) for task in self.tasks]
        except NoModel as err:
            raise CannotRun(str(err)) from err

    def _question(self, task: str, model: Model) -> Question:
        system = ""
        if self.language and task != "nsfw":
            if CHATS not in model.tasks:
                raise CannotRun(
                    f"{model.name} knows one language only. For {task} in {self.language}, name a "
                    "model that chats with --model: one with the task `answer` in `vision models`."
                )
            system = f"Write everything in {self.language}."
        return Question.of(task, model, self.prompt, system)


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
        str, typer.Option("--task", metavar="TASKS", help="Tasks, separated by commas.")
    ] = "caption,labels,nsfw",
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
    try:
        wanted = Wanted(words(task), words(model), prompt, language)
        questions = wanted.questions(service.models())
        memory = Journal(journal or default_journal())
        photos = _photos(paths or [], memory, questions, retry_failed=retry_failed)
        gate = Gate(_most(concurrency, service, questions))
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
    status = _run(runner, photos, sink, follower)
    memory.close()
    if status:
        raise typer.Exit(status)


def _run(runner: Runner, photos: Sequence[Photo], sink: Sink, follower: Follower | None) -> int:
    """Run to the end, or to Ctrl-C; return the exit status."""
    with Report(len(photos)) as report:
        status = _take_all(runner, photos, sink, report, follower)
        sink.close()
    report.summarise(sink.where)
    if status:
        say("The same command goes on from here.")
    elif report.failures:
        say("What failed is not asked again, unless with --retry-failed.")
        status = exits.FAILED
    return status


def _take_all(
    runner: Runner,
    photos: Sequence[Photo],
    sink: Sink,
    report: Report,
    follower: Follower | None,
) -> int:
    try:
        for outcome in runner.run(photos):
            _take(outcome, sink, report)
            if follower:
                follower.look()
    except KeyboardInterrupt:
        say("Waiting for the answers that are under way; Ctrl-C again leaves at once.")
        with contextlib.suppress(KeyboardInterrupt):
            for outcome in runner.finish():
                _take(outcome, sink, report)
        return exits.INTERRUPTED
    except (GaveUp, SinkError) as err:
        say(str(err), "red")
        return exits.UNAVAILABLE
    return 0


def _take(outcome: Outcome, sink: Sink, report: Report) -> None:
    faults, written = dict(outcome.faults), False
    if outcome.is_complete and not sink.has(outcome):
        try:
            sink.write(outcome)
            written = True
        except NotWritten as err:
            faults["sink"] = str(err)
    report.done(outcome, faults, written=written)


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


def _most(concurrency: str, service: Service, questions: Sequence[Question]) -> int:
    if concurrency == AUTO:
        return capacity(service.models(), questions)
    if not concurrency.isdecimal() or int(concurrency) < 1:
        raise CannotRun(f"--concurrency is a number from 1 on, or `auto`, and not {concurrency!r}.")
    return int(concurrency)


def _sink(form: Out, output: Path | None, journal: Journal, exiftool: str) -> Sink:
    if form is Out.XMP:
        if output:
            raise CannotRun("Sidecars lie beside the photos: leave --output out.")
        return Sidecars(journal, ExifTool(exiftool))
    return (Table if form is Out.CSV else JsonLines)(output, sys.stdout)
