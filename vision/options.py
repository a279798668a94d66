"""Options that several commands have in common."""

import os
from pathlib import Path
from typing import Annotated

import typer

from vision.runner.wanted import AUTO
from vision.service import Priority

URL_VARIABLE = "VISION_URL"
KEY_VARIABLE = "VISION_API_KEY"
DEFAULT_URL = "http://127.0.0.1:5000"

Url = Annotated[
    str, typer.Option("--url", envvar=URL_VARIABLE, help="Address of the service.", metavar="URL")
]
Key = Annotated[
    str,
    typer.Option(
        "--key",
        envvar=KEY_VARIABLE,
        help="API key or operator key. The variable keeps it out of the list of processes.",
        metavar="KEY",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")]
ModelNames = Annotated[
    str,
    typer.Option(
        "--model",
        help="Models to use, separated by commas. Each task goes to the first that does it.",
        metavar="NAMES",
        show_default="the default model of each task",
    ),
]

Tasks = Annotated[
    str,
    typer.Option(
        "--task",
        metavar="TASKS",
        help="Tasks, separated by commas: caption, labels, nsfw.",
        show_default="all that the models do",
    ),
]
Prompt = Annotated[str, typer.Option(metavar="TEXT", help="Prompt for models that follow prompts.")]
Language = Annotated[
    str, typer.Option(metavar="NAME", help="Language of captions and labels, such as `German`.")
]
Concurrency = Annotated[
    str,
    typer.Option(
        metavar="N",
        help=f"Most requests in flight at once; `{AUTO}` means as many as the workers can take.",
    ),
]
Urgency = Annotated[
    Priority,
    typer.Option(
        "--priority",
        help="`bulk` lets persons who ask meanwhile go first; `person` makes this run as urgent.",
    ),
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Ask again about what failed in earlier runs.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only list the photos that would be asked about.")
]
Patience = Annotated[
    float,
    typer.Option(
        min=0, metavar="SECONDS", help="How long to wait without any answer before giving up."
    ),
]
KeepWaiting = Annotated[
    bool,
    typer.Option(
        "--keep-waiting", help="Wait forever while no machine answers, for example at night."
    ),
]
Between = Annotated[
    str,
    typer.Option(
        metavar="HH:MM-HH:MM",
        help="Hours in which to send requests, by the clock of this machine, such as 22:00-07:00.",
        show_default="always",
    ),
]
JournalFile = Annotated[
    Path | None,
    typer.Option(
        "--journal",
        metavar="FILE",
        help="File that records what has been answered.",
        show_default="in ~/.local/state",
    ),
]


def default_journal() -> Path:
    """Return where the journal is if nobody says: where programs of a user keep their state."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "vision-workers" / "journal.sqlite"


def words(text: str) -> tuple[str, ...]:
    """Return words that are separated by commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())
