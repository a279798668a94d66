"""What a model has written, or a part of it, before it has the form of a call."""

from typing import NamedTuple

from shared.messages import JsonObject


class Usage(NamedTuple):
    """Tokens of a request."""

    given: int
    written: int


class Written(NamedTuple):
    """A text, and how it ends."""

    text: str = ""
    is_cut: bool = False
    """Whether the limit of tokens has ended it."""
    usage: Usage | None = None
    """``None``: it is not known."""


def by_ollama(reply: JsonObject) -> Written:
    """Return what a reply of Ollama's ``/api/chat`` has, or a part of it; thoughts are left out."""
    text = (reply.get("message") or {}).get("content")
    counts = [reply.get(name) for name in ("prompt_eval_count", "eval_count")]
    usage = Usage(*counts) if all(isinstance(count, int) for count in counts) else None  # type: ignore[arg-type]
    return Written(text or "", reply.get("done_reason") == "length", usage)
