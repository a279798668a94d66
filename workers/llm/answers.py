"""Turns what an LLM wrote into results. What says nothing is an error, never an empty success."""

from workers.llm.captions import read_caption
from workers.llm.labels import LABELS_SCHEMA, read_labels
from workers.llm.lenient import UnusableAnswer
from workers.llm.nsfw import NSFW_SCHEMA, read_nsfw

__all__ = [
    "LABELS_SCHEMA",
    "NSFW_SCHEMA",
    "UnusableAnswer",
    "read_caption",
    "read_labels",
    "read_nsfw",
]
