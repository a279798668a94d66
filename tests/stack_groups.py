"""Which test files belong together, because they share a stack; each other one is by itself."""

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHARED_BY_FIXTURE = {
    "our own models beside Ollama": re.compile(
        r"\bstack_with_ollama: Stack\b|\bstandin: OllamaStandin\b"
    ),
    "two servers of Ollama": re.compile(r"\bollama: Ollama\b"),
    "the page's models": re.compile(r"\bpage_stack: Stack\b|\bpage_base: str\b"),
}
"""Stacks other than the fixture ``stack``, and how a module asks for them."""
USES_THE_STACK = re.compile(r"\bstack: Stack\b|\bapi: str\b")
HAS_ITS_OWN = re.compile(r"\bdef stack\(|\brunning_stack\(")
NEEDS_REAL_MODELS = re.compile(r"efficientnet|opennsfw|vit-gpt2|blip|kosmos|smolvlm|chat_models")


@cache
def group_of(module: str) -> str:
    """Return the name of the group of a test file, whose path is relative to the repository."""
    source = (ROOT / module).read_text(encoding="utf-8")
    for group, fixture in SHARED_BY_FIXTURE.items():
        if fixture.search(source):
            return group
    if HAS_ITS_OWN.search(source) or not USES_THE_STACK.search(source):
        return module
    return "real models" if NEEDS_REAL_MODELS.search(source) else "fake models"
