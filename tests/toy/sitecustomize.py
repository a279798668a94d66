"""Has each process of a stack under test know the toy task: Python imports this when it starts."""

import tests.toy.toy_task  # noqa: F401 - registers itself
