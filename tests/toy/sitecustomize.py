"""Registers the toy task in each process of a stack: Python imports this module at its start."""

import tests.toy.toy_task  # noqa: F401 - registers the task
