"""What a model of Ollama has written, before it has the form of a call."""

from api.answering.results import Written
from shared.messages import JsonObject
from shared.tasks.answer import Usage


def by_ollama(reply: JsonObject) -> Written:
    """Return what a reply of Ollama's ``/api/chat`` has, or a part of it; thoughts are left out."""
    text = (reply.get("message") or {}).get("content")
    return Written(text or "", reply.get("done_reason") == "length", Usage.by_ollama(reply))
