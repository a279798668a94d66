"""What a request in Ollama's form asks of one of our own models."""

from dataclasses import dataclass

from api.ollama_compat.chat import read_chat
from shared.errors import BadRequest
from shared.families import FAMILIES
from shared.messages import ChatMessage, JsonObject
from shared.model_spec import ModelSpec

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


def asked_in_chat(body: JsonObject, spec: ModelSpec) -> Asked:
    """Take what is asked out of a chat: all of it, or what other models than chat models can use.

    Raises:
        BadRequest: the chat is malformed.
    """
    body.pop("images", None)
    chat = read_chat(body.pop("messages", None))
    if FAMILIES[spec.family].chats:
        return Asked(chat.prompt, chat.images, chat.conversation)
    return Asked(chat.prompt, chat.subject)


def asked_to_generate(body: JsonObject) -> Asked:
    """Take prompt and images out of a request for an answer.

    Raises:
        BadRequest: the prompt is no string.
    """
    prompt = body.pop("prompt", None)
    if prompt is not None and not isinstance(prompt, str):
        raise BadRequest("`prompt` is not a string.")
    return Asked(prompt or "", body.pop("images", None))


def check_length(spec: ModelSpec, asked: Asked) -> None:
    """Raise an error if a conversation is too long for a model of our own.

    Raises:
        BadRequest: it is.
    """
    length = max(len(asked.prompt), sum(len(message.text) for message in asked.messages))
    if length > MAX_CONVERSATION:
        raise BadRequest(
            f"The conversation has {length} characters; {spec.name} takes at most "
            f"{MAX_CONVERSATION}."
        )
