"""What stops ``make run`` from starting."""


class StartFailed(Exception):
    """The stack cannot start; the message says why."""
