"""The vision tasks that language models do, each in a file of its own as data.

A new task is a file beside these that makes an :class:`~workers.llm.task.LlmTask`, and a line here.
"""

from types import MappingProxyType

from workers.llm.tasks import answer, caption, labels, nsfw

LLM_TASKS = MappingProxyType(
    {task.name: task for task in (caption.TASK, labels.TASK, nsfw.TASK, answer.TASK)}
)
"""The tasks by name."""
