"""What a client of Ollama or OpenAI asks a model of ours."""

from dataclasses import dataclass, field
from typing import Any

from api.answering.chat import Chat
from shared.errors import UnusableChat
from shared.families import FAMILIES
from shared.messages import ChatMessage
from shared.model_spec import ModelSpec
from shared.options import Options

MAX_CONVERSATION = 32_768
"""Characters of all messages, some 8,000 tokens."""


@dataclass
class Asked:
    """What one of our own models is asked."""

    prompt: str
    images: object
    """As the client sent them."""
    messages: tuple[ChatMessage, ...] = ()
    """The whole conversation, for a model that chats."""
    form: object = None
    """Form of the answer: a JSON schema, or ``json`` for any object; anything false: free text."""
    options: Options = field(default_factory=Options)
    for_chat: dict[str, Any] = field(default_factory=dict)
    """The fields of a job that only models that chat understand."""


def asked_in_chat(chat: Chat, spec: ModelSpec) -> Asked:
    """Take what is asked out of a chat: all of it, or what other models than chat models can use.

    Raises:
        UnusableChat: the conversation is too long for a model of our own.
    """
    if FAMILIES[spec.family].chats:
        asked = Asked(chat.prompt, chat.images, chat.conversation)
    else:
        asked = Asked(chat.prompt, chat.subject)
    check_length(spec, asked)
    return asked


def check_length(spec: ModelSpec, asked: Asked) -> None:
    """Raise an error if a conversation is too long for a model of our own.

    Raises:
        UnusableChat: it is.
    """
    length = max(len(asked.prompt), sum(len(message.text) for message in asked.messages))
    if length > MAX_CONVERSATION:
        raise UnusableChat(
            f"The conversation has {length} characters; {spec.name} takes at most "
            f"{MAX_CONVERSATION}."
        )
