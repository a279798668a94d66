"""``vision photoprism``: captions and labels for the photos of a PhotoPrism."""

import math
from contextlib import ExitStack, closing
from typing import Annotated

import typer

from vision import exits
from vision.console import say
from vision.options import (
    DEFAULT_URL,
    URL_VARIABLE,
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
    default_journal,
    words,
)
from vision.photoprism import connection
from vision.photoprism.client import PhotoPrism
from vision.photoprism.connection import Connection, PhotoPrismError, Refused
from vision.photoprism.library import Library
from vision.photoprism.memory import Memory
from vision.photoprism.rules import Overwrite
from vision.photoprism.writing import Backfill
from vision.runner.announcing import Announcer
from vision.runner.asking import GaveUp
from vision.runner.crew import PATIENCE_S, Manner, gather
from vision.runner.driving import drive
from vision.runner.journal import Journal, JournalError
from vision.runner.wanted import AUTO, CannotRun, Wanted
from vision.service import Service

TASKS = ("caption", "labels")
"""Unless others are named. PhotoPrism hides unsafe photos only where that was asked for, too."""

app = typer.Typer(
    name="photoprism",
    help="Caption and label the photos of a PhotoPrism library.",
    no_args_is_help=True,
)


@app.callback()
def group() -> None:
    """Caption and label the photos of a PhotoPrism library."""


@app.command()
def backfill(  # noqa: PLR0913 - the options of the command
    url: Annotated[
        str,
        typer.Option(
            "--url", envvar=connection.URL_VARIABLE, help="Address of PhotoPrism.", metavar="URL"
        ),
    ],
    token: Annotated[
        str,
        typer.Option(
            envvar=connection.TOKEN_VARIABLE,
            help="App password of PhotoPrism. The variable keeps it out of the list of processes.",
            metavar="PASSWORD",
            show_default=False,
        ),
    ] = "",
    *,
    service: Annotated[
        str,
        typer.Option(
            "--service", envvar=URL_VARIABLE, help="Address of Vision Workers.", metavar="URL"
        ),
    ] = DEFAULT_URL,
    key: Key = "",
    task: Annotated[
        str,
        typer.Option(
            "--task",
            metavar="TASKS",
            help="Tasks, separated by commas: caption, labels, nsfw. The last makes unsafe photos "
            "private.",
            show_default="caption and labels, if the models do them",
        ),
    ] = "",
    filter_: Annotated[
        str,
        typer.Option(
            "--filter",
            metavar="QUERY",
            help="Photos to ask about, as in PhotoPrism's search: `year:2024 label:cat`.",
            show_default="all that the library shows",
        ),
    ] = "",
    overwrite: Annotated[
        Overwrite,
        typer.Option(
            help="`own` also replaces what an earlier run wrote and nobody has changed since; "
            "`never` fills in only what is empty."
        ),
    ] = Overwrite.OWN,
    model: ModelNames = "",
    prompt: Prompt = "",
    language: Language = "",
    concurrency: Concurrency = AUTO,
    retry_failed: RetryFailed = False,
    dry_run: DryRun = False,
    patience: Patience = PATIENCE_S,
    keep_waiting: KeepWaiting = False,
    between: Between = "",
    journal: JournalFile = None,
) -> None:
    """Caption and label the photos of a PhotoPrism library, on all machines behind the service.

    What a person or another program has written there stays. After a kill or Ctrl-C, the same
    command continues where it stopped.
    """
    manner = Manner(concurrency, patience, between, keep_waiting, retry_failed)
    wanted = Wanted(words(task), words(model), prompt, language, TASKS)
    with ExitStack() as cleanup:
        try:
            memory = cleanup.enter_context(closing(Journal(journal or default_journal())))
            vision = Service(service, key)
            crew = gather(vision, wanted, manner, memory)
            patience_s = math.inf if keep_waiting else patience
            photoprism = PhotoPrism(Connection(url, token, patience_s, crew.gate.sleep))
            library = Library(photoprism, Memory(memory, photoprism.site), overwrite)
            photos = library.photos(filter_)
            if dry_run:
                crew.list_open(photos)
                return
        except (CannotRun, JournalError, PhotoPrismError, GaveUp) as err:
            say(str(err), "red")
            is_refused = isinstance(err, Refused | GaveUp)
            raise typer.Exit(exits.UNAVAILABLE if is_refused else exits.USAGE) from err
        announcer = Announcer(vision, "photoprism", photoprism.site)
        if status := drive(crew.runner, photos, Backfill(library), crew.follower, announcer):
            raise typer.Exit(status)
