"""The vision tasks as data, each in a file of its own.

A new task needs a file beside these that defines a :class:`~shared.tasks.registry.TaskSpec`, and a
line here. Routes, replies, the OpenAPI document, queues, metrics and the catalogue follow from it.
"""

from shared.tasks import answer, caption, face, labels, nsfw
from shared.tasks.registry import register

CAPTION = register(caption.SPEC).name
LABELS = register(labels.SPEC).name
NSFW = register(nsfw.SPEC).name
FACE = register(face.SPEC).name
ANSWER = register(answer.SPEC).name
