"""The subcommands of ``vision``, and how their errors end."""

import errno
import sys

import typer

from vision import exits
from vision.commands import bench, compare, config, doctor, local, models, photoprism, run
from vision.console import OutputError, say, watch_output
from vision.service import ServiceError

app = typer.Typer(
    name="vision",
    help="Captions, labels and NSFW scores for photos: the command line of Vision Workers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its traceback shows the values of variables, such as keys
)
models.register(app)
run.register(app)
doctor.register(app)
local.register(app)
bench.register(app)
compare.register(app)
app.add_typer(config.app)
app.add_typer(photoprism.app)


def run_command() -> None:
    """Run a command; end with a sentence and a status where it cannot go on."""
    watch_output()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # else Python does, where nobody catches the error
    except ServiceError as err:
        say(str(err), "red")
        sys.exit(exits.UNAVAILABLE)
    except OutputError as err:
        if err.errno != errno.EPIPE:  # else the reader, such as `head`, has seen enough
            say(f"Standard output cannot be written: {err.strerror}.", "red")
        sys.exit(exits.FAILED)
    except KeyboardInterrupt:
        sys.exit(exits.INTERRUPTED)
