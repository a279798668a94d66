"""The messages of a chat, and what our own models use of them."""

from itertools import takewhile
from typing import Any, NamedTuple

from shared.errors import BadRequest
from shared.messages import ChatMessage, JsonObject


class Chat(NamedTuple):
    """The messages of a chat, and their images separately."""

    messages: list[JsonObject]
    """In their ``images`` are indices into :attr:`images`."""
    images: list[Any]

    @property
    def prompt(self) -> str:
        """What the user has written since the latest answer."""
        texts = (message.get("content") for message in self._turn if message.get("role") == "user")
        return "\n".join(filter(None, texts))

    @property
    def subject(self) -> list[Any]:
        """The images that the prompt is about.

        These are the images since the latest answer. If there are none, as in a follow-up question,
        they are those of the latest message that has any.
        """
        of_turn = [index for message in self._turn for index in message.get("images") or ()]
        of_each = (message.get("images") or [] for message in reversed(self.messages))
        return [self.images[index] for index in of_turn or next(filter(None, of_each), [])]

    @property
    def conversation(self) -> tuple[ChatMessage, ...]:
        """All messages, for one of our own models that chats.

        What is no answer of the model's, such as the result of a tool, counts as the user's.
        """
        return tuple(
            ChatMessage(
                role=role if (role := message.get("role")) in ("system", "assistant") else "user",
                text=message.get("content") or "",
                images=tuple(message.get("images") or ()),
            )
            for message in self.messages
        )

    @property
    def _turn(self) -> list[JsonObject]:
        """The messages from the latest answer up to the user's last message."""
        roles = [message.get("role") for message in self.messages]
        end = len(roles) - roles[::-1].index("user") if "user" in roles else len(roles)
        before = reversed(self.messages[:end])
        return [*takewhile(lambda message: message.get("role") != "assistant", before)][::-1]


def read_chat(messages: object) -> Chat:
    """Read ``messages`` of a request; ``None`` means that there are none.

    Raises:
        BadRequest: the messages are not a list of objects, their content is no text, or the images
            are not a list.
    """
    messages = [] if messages is None else messages
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise BadRequest("`messages` is not a list of objects.")
    images: list[Any] = []
    kept = []
    for message in messages:
        if not isinstance(message.get("content"), str | None):
            raise BadRequest("`content` of a message is not a string.")
        attached = message.get("images")
        if attached is not None and not isinstance(attached, list):
            raise BadRequest("`images` of a message is not a list of base64 strings.")
        indices = list(range(len(images), len(images) + len(attached or ())))
        images += attached or ()
        kept.append({**message, "images": indices} if attached else message)
    return Chat(kept, images)
