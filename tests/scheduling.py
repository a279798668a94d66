"""Which tests run in the same process: a module's, and those of modules that share a stack.

Each process has a stack of its own, whose workers start when they are first needed. So tests that
need the same ones run in one process, and no worker starts twice.
"""

from xdist.scheduler import LoadScopeScheduling

from tests.stack_groups import group_of


class StackScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist is not typed
    """Gives a process all tests of a stack at once, and other tests module by module."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.partition("::")[0])
