"""Conversations about images as inputs of a model that chats."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from shared.errors import UnusableChat
from workers.captions.thoughts import open_mark
from workers.model.family import LoadError

THINKING_SWITCHES = ("enable_thinking", "thinking")
"""Variables of chat templates that say whether the model thinks first."""
PLAIN_TEMPLATE = (
    "{% for m in messages %}{% for c in m.content %}"
    "{% if c.type == 'image' %}IMAGE{% else %}{{ c.text }}{% endif %}"
    "{% endfor %}{% endfor %}"
)
"""For types that are not trained to chat, but to follow a prompt behind an image."""
WITHOUT_TEMPLATE = frozenset({"PaliGemmaProcessor"})
"""Processors of such types."""
_MARK = "z9q"
"""Text that no template has."""


class Message(NamedTuple):
    """One message of a conversation; its images come before its text."""

    role: str
    """``system``, ``user`` or ``assistant``."""
    text: str
    images: Sequence[Any] = ()
    """As :meth:`~workers.runtime.chat.ChatModel.prepare` returns them."""


class Turn(NamedTuple):
    """One conversation that the model is to continue."""

    messages: Sequence[Message]
    think: Any = False
    format: Any = None
    """Form of the answer: ``json`` or a JSON schema; ``None``: free text."""


def single_question(prompt: str, images: Sequence[Any] = (), system: str = "") -> list[Message]:
    """Return the messages of a single question."""
    told = [Message("system", system)] if system else []
    return [*told, Message("user", prompt, images)]


_TOLD_LATER = [
    Message("user", "?"),
    Message("assistant", "!"),
    Message("system", _MARK),
    Message("user", "?"),
]


class ChatInputs:
    """Renders conversations with a checkpoint's chat template, and encodes them as a batch."""

    def __init__(self, processor: Any) -> None:  # noqa: ANN401 - not typed
        """Find out what the chat template can do.

        Raises:
            LoadError: it cannot render a question about an image.
        """
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self._needs_image = type(processor).__name__ in WITHOUT_TEMPLATE
        if processor.chat_template is None and self._needs_image:
            processor.chat_template = PLAIN_TEMPLATE.replace("IMAGE", processor.image_token)
        if not processor.chat_template:
            raise LoadError(
                "The checkpoint has no chat template: put `chat_template.jinja` into its folder, "
                "or use a checkpoint that was tuned to follow instructions."
            )
        template = str(processor.chat_template)
        self._control = _control_tokens(processor.tokenizer, template)
        self._switches = [name for name in THINKING_SWITCHES if name in template]
        self._has_system = self._has_later_system = True
        if _MARK not in self._rendered(Turn(single_question(_MARK))):
            raise LoadError(
                "The checkpoint's chat template does not render what a user asks: it is not one "
                "for messages with images."
            )
        self._has_system = _MARK in self._rendered(Turn(single_question("", system=_MARK)))
        self._has_later_system = _MARK in self._rendered(Turn(_TOLD_LATER))
        self._open_thoughts = {
            think: open_mark(self._rendered(Turn(single_question(_MARK), think)))
            for think in (False, True)
        }

    def encode(self, turns: Sequence[Turn]) -> Any:  # noqa: ANN401 - a ``BatchFeature``
        """Return the inputs of ``generate`` for a batch; shorter prompts are padded on the left.

        Returns:
            The inputs; ``None``: there is a :meth:`refusal` for some of the conversations, for
            which all of them are rendered once more.
        """
        if any(map(self._lacks_image, turns)):
            return None
        try:
            return self.processor.apply_chat_template(
                [self._messages(turn) for turn in turns],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                processor_kwargs={"padding": True},
                **self._thinking(turns[0]),
            )
        except Exception:
            # Templates raise errors of their own.
            if any(map(self.refusal, turns)):
                return None
            raise

    def refusal(self, turn: Turn) -> UnusableChat | None:
        """Return why a conversation cannot be encoded; ``None``: it can."""
        if self._lacks_image(turn):
            return UnusableChat("This model needs an image, and the request has none.")
        if not self._rendered(turn):
            return UnusableChat(
                "The model's chat template does not take a conversation of these roles in this "
                "order: let user and assistant take turns, and the user begin and end."
            )
        return None

    def _lacks_image(self, turn: Turn) -> bool:
        return self._needs_image and not any(message.images for message in turn.messages)

    def open_thought(self, turn: Turn) -> str:
        """Return the mark with which the prompt has begun a thought; empty: it has not."""
        return self._open_thoughts[bool(turn.think)]

    def _messages(self, turn: Turn) -> list[dict[str, Any]]:
        """Return a conversation as the template takes it.

        What a system says where the template has no place for it becomes part of what the user
        says before or after it.
        """
        messages = _collated(turn.messages)
        for position, message in enumerate(messages):
            is_rendered = self._has_later_system if position else self._has_system
            if message.role == "system" and not is_rendered:
                messages[position] = message._replace(role="user")
        return [
            {
                "role": message.role,
                "content": [
                    *({"type": "image", "image": image} for image in message.images),
                    self._text(message.text),
                ],
            }
            for message in _collated(messages)
        ]

    def _text(self, text: str) -> dict[str, str]:
        """Return a client's text as part of a message: it has neither roles nor image tokens.

        transformers' own ``sanitize_control_tokens`` does not work for types with a processor of
        the old kind, such as Idefics 3.
        """
        plain = self._control.sub(lambda token: f"{token[0][0]} {token[0][1:]}", text)
        return {"type": "text", "text": plain}

    def _thinking(self, turn: Turn) -> Mapping[str, bool]:
        return dict.fromkeys(self._switches, bool(turn.think))

    def _rendered(self, turn: Turn) -> str:
        """Return a conversation as text; empty: the template refuses it."""
        try:
            return str(
                self.processor.apply_chat_template(
                    self._messages(turn), add_generation_prompt=True, **self._thinking(turn)
                )
            )
        except Exception:  # noqa: BLE001 - templates raise errors of their own
            return ""


def _collated(messages: Sequence[Message]) -> list[Message]:
    """Return a conversation without two messages of one role in a row, as on Ollama's servers.

    Many templates refuse them.
    """
    collated: list[Message] = []
    for message in messages:
        if collated and collated[-1].role == message.role:
            last = collated.pop()
            text = "\n\n".join(filter(None, (last.text, message.text)))
            message = last._replace(text=text, images=[*last.images, *message.images])  # noqa: PLW2901
        collated.append(message)
    return collated


def _control_tokens(tokenizer: Any, template: str) -> re.Pattern[str]:  # noqa: ANN401 - not typed
    """Match the tokens that mean something to the model or its processor, if they are in a text."""
    added = tokenizer.added_tokens_decoder.values()
    tokens = {token.content for token in added if token.special or token.content in template}
    tokens = {token for token in tokens if token.strip() and len(token) > 1}
    return re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))) or r"(?!)")
