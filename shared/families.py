"""The model families: the code that runs them, and their tasks."""

from typing import NamedTuple

from shared.tasks import ANSWER, CAPTION, FACE, LABELS, NSFW
from shared.tasks.registry import Task

OLLAMA = "ollama"
"""Family of the models on Ollama servers, and name of the row whose workers call these servers."""


class Family(NamedTuple):
    """A kind of model. Its code is named by a string, so that the API never imports it."""

    target: str
    """``module:Class``; empty: its workers have no model process."""
    tasks: frozenset[Task]
    """Tasks that models of the family can do."""
    default_tasks: frozenset[Task] = frozenset()
    """Tasks of a model whose row lists none; empty: all of the family's."""
    writes_text: bool = False
    """Whether its models generate text."""
    reads_text: bool = False
    """Whether its models read text that a row names, and generate none."""
    chats: bool = False
    """Whether its models accept a system prompt and a JSON schema."""
    mixes_prompts: bool = False
    """Whether jobs with different prompts can be in one batch."""
    imports: tuple[str, ...] | None = None
    """What the fork server imports ahead instead of numpy and the family's module."""

    @property
    def needs_tokenizer(self) -> bool:
        """Whether its checkpoints need a tokenizer."""
        return self.writes_text or self.reads_text

    @property
    def preload(self) -> tuple[str, ...]:
        """Modules to import before model processes are forked; none of them may start a thread."""
        if self.imports is not None:
            return self.imports
        return ("numpy", self.target.partition(":")[0])


_ANY_PHOTO_TASK = frozenset({CAPTION, LABELS, NSFW})
_ANYTHING_ASKED = _ANY_PHOTO_TASK | {ANSWER}

FAMILIES = {
    "kosmos2": Family(
        "workers.families.kosmos2:Kosmos2", frozenset({CAPTION, LABELS}), writes_text=True
    ),
    "vision_encoder_decoder": Family(
        "workers.families.vision_encoder_decoder:VisionEncoderDecoder",
        frozenset({CAPTION}),
        writes_text=True,
    ),
    "blip": Family("workers.families.blip:Blip", frozenset({CAPTION}), writes_text=True),
    "image_text_to_text": Family(
        "workers.families.image_text_to_text:ImageTextToText",
        _ANYTHING_ASKED,
        writes_text=True,
        chats=True,
        mixes_prompts=True,
    ),
    "image_classification": Family(
        "workers.families.image_classification:ImageClassification",
        frozenset({LABELS, NSFW}),
        default_tasks=frozenset({LABELS}),
    ),
    "zero_shot": Family(
        "workers.families.zero_shot:ZeroShot", frozenset({LABELS}), reads_text=True
    ),
    "florence2": Family(
        "workers.families.florence2:Florence2", frozenset({CAPTION, LABELS}), writes_text=True
    ),
    "efficientnet_lite": Family(
        "workers.families.efficientnet_lite:EfficientNetLite", frozenset({CAPTION, LABELS})
    ),
    "onnx": Family(
        "workers.families.onnx:Onnx",
        frozenset({LABELS, NSFW, FACE}),
        default_tasks=frozenset({LABELS}),
        imports=("numpy",),  # onnxruntime starts a thread when it is imported
    ),
    "fake": Family(
        "workers.families.fake:Fake", _ANY_PHOTO_TASK, imports=("workers.families.fake",)
    ),
    OLLAMA: Family("", _ANYTHING_ASKED),
}
