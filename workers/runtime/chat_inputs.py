"""Conversations about images as inputs of a model that chats."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from PIL import Image

from workers.model.family import LoadError

THINKING_SWITCHES = ("enable_thinking", "thinking")
"""Variables of chat templates that say whether the model thinks first."""
_MARK = "z9q"
"""Text that no template has."""


class Turn(NamedTuple):
    """One conversation: some images, and what is asked of them."""

    images: Sequence[Image.Image]
    prompt: str
    system: str = ""
    think: Any = False
    format: Any = None
    """Form of the answer: ``json`` or a JSON schema; ``None``: free text."""


class ChatInputs:
    """Renders conversations with a checkpoint's chat template, and encodes them as a batch."""

    def __init__(self, processor: Any) -> None:  # noqa: ANN401 - not typed
        """Find out what the chat template can do.

        Raises:
            LoadError: it cannot render a question about an image.
        """
        self._processor = processor
        template = processor.chat_template
        if not template:
            raise LoadError(
                "The checkpoint has no chat template: add `chat_template.jinja` to its folder, or "
                "use an instruction-tuned checkpoint."
            )
        self._switches = [name for name in THINKING_SWITCHES if name in str(template)]
        if not self._renders(Turn((), _MARK)):
            raise LoadError("The checkpoint's chat template does not render a user's message.")
        self._has_system = self._renders(Turn((), "", _MARK))

    def encode(self, turns: Sequence[Turn]) -> Any:  # noqa: ANN401 - a ``BatchFeature``
        """Return the inputs of ``generate`` for a batch; shorter prompts are padded on the left."""
        return self._processor.apply_chat_template(
            [self._messages(turn) for turn in turns],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            sanitize_control_tokens=True,  # clients write neither roles nor image tokens
            processor_kwargs={"padding": True},
            **self._thinking(turns[0]),
        )

    def decode(self, tokens: torch.Tensor) -> list[str]:
        """Return the texts of new tokens, (N, length)."""
        texts: list[str] = self._processor.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return texts

    def _messages(self, turn: Turn) -> list[dict[str, Any]]:
        prompt, system = turn.prompt, turn.system
        if system and not self._has_system:
            prompt, system = f"{system}\n\n{prompt}", ""
        images = [{"type": "image", "image": image} for image in turn.images]
        asked = [*images, {"type": "text", "text": prompt}]
        told = [{"role": "system", "content": [{"type": "text", "text": system}]}] if system else []
        return [*told, {"role": "user", "content": asked}]

    def _thinking(self, turn: Turn) -> Mapping[str, bool]:
        return dict.fromkeys(self._switches, bool(turn.think))

    def _renders(self, turn: Turn) -> bool:
        """Return whether the template renders a text that has :data:`_MARK` in it."""
        self._has_system = True
        try:
            text = self._processor.apply_chat_template(
                self._messages(turn), add_generation_prompt=True, **self._thinking(turn)
            )
        except Exception:  # noqa: BLE001 - templates raise errors of their own
            return False
        return _MARK in text
