"""The processor of a model that chats: image processor and tokenizer, without videos and audio.

``AutoProcessor`` insists on a video processor where a type has one, and that on torchvision.
"""

import json
import sys
from pathlib import Path
from typing import Any

import transformers
from transformers import PROCESSOR_MAPPING, AutoConfig, AutoImageProcessor, AutoTokenizer
from transformers.feature_extraction_utils import FeatureExtractionMixin
from transformers.video_processing_utils import VideoProcessorMixin

_NAMED_IN = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json")
"""Files that may name the processor's class, as ``AutoProcessor`` looks for it."""


class NoVideos(VideoProcessorMixin):
    """Stands in for the video processor, which is never called, but read by some processors."""

    def __getattr__(self, name: str) -> None:
        """Have no setting."""
        if name.startswith("_"):
            raise AttributeError(name)


class NoAudio(FeatureExtractionMixin):
    """Stands in for the audio processor, which is never called."""

    sampling_rate = 16_000


class _Lenient:
    """Base of processors that take the stand-ins; transformers looks for classes of torchvision."""

    def check_argument_for_proper_class(self, name: str, argument: Any) -> Any:  # noqa: ANN401
        if isinstance(argument, NoVideos | NoAudio):
            return type(argument)
        return super().check_argument_for_proper_class(name, argument)  # type: ignore[misc]


class ChatProcessor:
    """Loads processors from their parts, as the ``Auto`` classes of transformers load theirs."""

    @classmethod
    def from_pretrained(cls, folder: Path, *, local_files_only: bool) -> Any:  # noqa: ANN401 - the type's own class
        """Load the processor of a checkpoint.

        Raises:
            ValueError: the checkpoint names no processor that transformers has.
        """
        kind = _kind(folder)
        _describe_no_videos(kind)
        settings, _ = kind.get_processor_dict(folder, local_files_only=local_files_only)
        parts = [_part(name, folder) for name in kind.get_attributes()]
        lenient: Any = type(kind.__name__, (_Lenient, kind), {})
        processor = lenient.from_args_and_dict(parts, settings)
        tokenizer = processor.tokenizer
        tokenizer.padding_side = "left"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        if processor.chat_template is None:
            processor.chat_template = tokenizer.chat_template
        return processor


def _kind(folder: Path) -> Any:  # noqa: ANN401
    for name in _NAMED_IN:
        path = folder / name
        named = json.loads(path.read_bytes()).get("processor_class") if path.is_file() else None
        if found := getattr(transformers, named or "", None):
            return found
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if type(config) not in PROCESSOR_MAPPING:
        msg = f"transformers has no processor for the model type {config.model_type!r}"
        raise ValueError(msg)
    return PROCESSOR_MAPPING[type(config)]


def _describe_no_videos(kind: Any) -> None:  # noqa: ANN401
    """Do without num2words, which SmolVLM's processor demands, to write lengths of videos."""
    module: Any = sys.modules[kind.__module__]
    if getattr(module, "num2words", str) is None:
        module.num2words = str


def _part(name: str, folder: Path) -> Any:  # noqa: ANN401
    if "video" in name:
        return NoVideos()
    if "feature_extractor" in name or "audio" in name:
        stand_in: Any = NoAudio
        return stand_in()
    loader: Any = AutoTokenizer if "tokenizer" in name else AutoImageProcessor
    return loader.from_pretrained(folder, local_files_only=True)
