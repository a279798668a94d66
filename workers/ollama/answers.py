"""Turns what an LLM wrote into results. What says nothing is an error, never an empty success."""

from workers.ollama.captions import read_caption
from workers.ollama.labels import LABELS_SCHEMA, read_labels
from workers.ollama.lenient import Unusable
from workers.ollama.nsfw import NSFW_SCHEMA, read_nsfw

__all__ = [
    "LABELS_SCHEMA",
    "NSFW_SCHEMA",
    "Unusable",
    "read_caption",
    "read_labels",
    "read_nsfw",
]
