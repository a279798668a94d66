"""What a model thinks before it answers, which no client gets to see."""

import re

_OPENINGS = r"<think(?:ing)?>|<\|channel>(?:thought\b)?|\[THINK\]"
_ENDS = r"</think(?:ing)?>|<channel\|>|\[/THINK\]"
_THOUGHT = re.compile(rf"(?:{_OPENINGS}).*?(?:{_ENDS}|\Z)", re.DOTALL | re.IGNORECASE)
_END = re.compile(_ENDS, re.IGNORECASE)
_OPEN = re.compile(rf"(?:{_OPENINGS})\s*\Z", re.IGNORECASE)
MARKS = re.compile(rf"{_OPENINGS}|{_ENDS}", re.IGNORECASE)
"""Begin or end a thought: as Qwen's, Gemma's and Mistral's models write it, and most others."""


def without_thoughts(text: str) -> str:
    """Return the answer without the thinking before it.

    The opening mark may be missing, where it is part of the model's template, and the closing one,
    where the model ran out of tokens: then there is no answer.
    """
    return _END.split(_THOUGHT.sub("", text))[-1].strip()


def open_mark(prompt: str) -> str:
    """Return the mark with which a prompt has the model begin to think; empty: there is none."""
    found = _OPEN.search(prompt)
    return found[0] if found else ""
