"""``vision config``: ready entries for PhotoPrism."""

from typing import Annotated

import typer

from vision import exits
from vision.choice import NoModel, find
from vision.console import put, say
from vision.options import DEFAULT_URL, Key, ModelNames, Url, words
from vision.photoprism.vision_yml import Door, Entries, compose, entries
from vision.service import Service

IN_COMPOSE = "http://api:5000"
"""Address of the API in the network of compose.yaml."""

Ways = Annotated[
    Door,
    typer.Option(
        help="How PhotoPrism asks: in its own format, or with its engine for Ollama or OpenAI.",
        show_choices=True,
    ),
]

app = typer.Typer(
    name="config", help="Write configuration for the models that run here.", no_args_is_help=True
)


@app.command()
def photoprism(
    url: Url = DEFAULT_URL,
    key: Key = "",
    model: ModelNames = "",
    door: Ways = Door.VISION,
    address: Annotated[
        str,
        typer.Option(
            help="Address at which PhotoPrism reaches the service.",
            metavar="URL",
            show_default="--url",
        ),
    ] = "",
) -> None:
    """Write a vision.yml for PhotoPrism."""
    put(_entries(Service(url, key), model, door, address).text())


@app.command(name="compose")
def compose_file(
    url: Url = DEFAULT_URL,
    key: Key = "",
    model: ModelNames = "",
    door: Ways = Door.VISION,
    address: Annotated[
        str, typer.Option(help="Address of the API in its network.", metavar="URL")
    ] = IN_COMPOSE,
) -> None:
    """Write an overlay for PhotoPrism's compose file, with the vision.yml in it."""
    put(compose(_entries(Service(url, key), model, door, address)))


def _entries(service: Service, model: str, door: Door, address: str) -> Entries:
    models, wanted = service.models(), words(model)
    try:
        for name in wanted:
            find(models, name)
        found = entries(models, wanted, address or service.url, door, needs_key=service.needs_key())
    except NoModel as err:
        say(str(err), "red")
        raise typer.Exit(exits.USAGE) from err
    if not found.chosen:
        say("No model runs here: start some, and look at `vision models`.", "red")
        raise typer.Exit(exits.FAILED)
    return found
