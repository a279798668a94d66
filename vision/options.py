"""Options that several commands have in common."""

from typing import Annotated

import typer

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
        help="Models to use, separated by commas: for each task the first that does it.",
        metavar="NAMES",
        show_default="the default model of each task",
    ),
]


def words(text: str) -> tuple[str, ...]:
    """Return words that are separated by commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())
