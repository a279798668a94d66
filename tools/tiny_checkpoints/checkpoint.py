"""A checkpoint: a model, its processors, and the files that they are saved as."""

# transformers leaves many functions without types
# mypy: allow-untyped-calls

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin
    from transformers.image_processing_utils import BaseImageProcessor


@dataclass(frozen=True)
class Checkpoint:
    """A model with everything that is saved beside it.

    Attributes:
        model: The model.
        image_processor: Turns pictures into the model's pixel values.
        image_processor_type: Its class name for `preprocessor_config.json`.
        tokenizer: Text to ids and back; a classifier has none.
        processor: Combines the tokenizer and the image processor, if the architecture has one.
        processor_settings: Contents of `processor_config.json`, if the hub has such a file.
        vocabulary_files: Whether the vocabulary is saved in files beside `tokenizer.json`, too.

    """

    model: PreTrainedModel
    image_processor: BaseImageProcessor
    image_processor_type: str
    tokenizer: PreTrainedTokenizerBase | None = None
    processor: ProcessorMixin | None = None
    processor_settings: Mapping[str, Any] | None = None
    vocabulary_files: bool = False


def save(checkpoint: Checkpoint, folder: Path, *, halve: bool = True) -> None:
    """Write the files that a repository on the hub has.

    Args:
        checkpoint: What to write.
        folder: Where to write; created if it does not exist, else its files are deleted.
        halve: Store float16 weights, while `config.json` says float32: the files have half the
            size and are loaded as float32.

    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    checkpoint.model.save_pretrained(folder)
    if checkpoint.tokenizer is not None:
        (checkpoint.processor or checkpoint.tokenizer).save_pretrained(folder)
        if checkpoint.vocabulary_files:
            checkpoint.tokenizer.backend_tokenizer.model.save(str(folder))
    checkpoint.image_processor.save_pretrained(folder)
    # A newer format than the hub's; preprocessor_config.json has the same content.
    (folder / "processor_config.json").unlink(missing_ok=True)
    if checkpoint.processor_settings is not None:
        _write(folder / "processor_config.json", checkpoint.processor_settings)
    names = {"image_processor_type": checkpoint.image_processor_type}
    if checkpoint.processor is not None:
        names["processor_class"] = type(checkpoint.processor).__name__
    _update(folder / "preprocessor_config.json", names)
    if halve:
        _halve(folder / "model.safetensors")
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors creates files that only their owner can read


def _update(path: Path, changes: dict[str, str]) -> None:
    content = json.loads(path.read_text())
    _write(path, content | changes)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def _halve(path: Path) -> None:
    """Rewrite a weights file with its float tensors as float16."""
    weights = {
        name: tensor.to(torch.float16) if tensor.is_floating_point() else tensor
        for name, tensor in load_file(path).items()
    }
    save_file(weights, path, metadata={"format": "pt"})
