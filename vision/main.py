"""The command ``vision``, as far as it is there before the packages that it needs."""

import signal


def main() -> None:
    """Run a command."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:  # else Ctrl-C is ignored
        # The system ends the process without a traceback, whatever is being imported.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from vision.app import run_command

    signal.signal(signal.SIGINT, handler)
    run_command()
