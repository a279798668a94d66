"""Exit statuses of all commands, for scripts."""

FAILED = 1
"""The command ran, and something in its report is wrong: photos that failed, a check with ✘."""
USAGE = 2
"""The command line is wrong; Typer's own status for it."""
UNAVAILABLE = 3
"""The service cannot be reached, serves not, or refuses the key."""
INTERRUPTED = 130
"""Ctrl-C, as shells have it."""
