"""Bare models in a process of their own: what the stack is compared with."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.measuring import PHOTO, bare, seconds
from shared.images import decode_rgb
from shared.model_spec import ModelSpec
from shared.tasks.registry import Task

TOKENS = 16
"""Length of all generated texts."""

_calls: dict[str, Callable[..., None]] = {}
"""The bare models, in their process."""


class BareModels(NamedTuple):
    """Two models without a stack; each call returns how many seconds it took."""

    simple: Callable[[], float]
    """Runs transformers in float32 on one image, as a simple service does."""
    batched: Callable[..., float]
    """Runs our model on a batch of so many images, by default 1."""


@contextlib.contextmanager
def bare_process(spec: ModelSpec, checkpoints: Path, task: Task) -> Iterator[BareModels]:
    """Load both bare models into a process of their own."""
    arguments = (spec, checkpoints / spec.name if spec.source else None, task)
    with ProcessPoolExecutor(1, get_context("spawn"), _load, arguments) as pool:

        def batched(photos: int = 1) -> float:
            future: Future[float] = pool.submit(_time, "batched", photos)
            return future.result()

        def simple() -> float:
            return pool.submit(_time, "simple").result()

        yield BareModels(simple, batched)


def _load(spec: ModelSpec, folder: Path | None, task: Task) -> None:
    _calls["batched"] = bare(spec, folder, task, 0)
    _calls["simple"] = simple_captioner(folder) if folder else _calls["batched"]


def _time(name: str, *arguments: int) -> float:
    return seconds(lambda: _calls[name](*arguments))


def simple_captioner(folder: Path) -> Callable[[], None]:
    """Return a function that captions one photo with unmodified transformers in float32.

    vit-gpt2 uses beam search with 4 beams, as the service of 2024 did.
    """
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor, AutoTokenizer
    from transformers.models.auto import AutoImageProcessor
    from transformers.utils import logging

    disable_progress_bar: Any = logging.disable_progress_bar  # not typed
    disable_progress_bar()
    loader: Any = AutoModelForImageTextToText
    model = loader.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    beams = 4 if model.config.model_type == "vision-encoder-decoder" else 1
    processor: Any = AutoProcessor
    if model.config.model_type != "kosmos-2":
        processor = AutoImageProcessor
    processor = processor.from_pretrained(folder, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    photo = PHOTO.read_bytes()
    prompt = {"text": "<grounding>An image of"} if model.config.model_type == "kosmos-2" else {}

    @torch.no_grad()
    def call() -> None:
        inputs = processor(images=decode_rgb(photo), return_tensors="pt", **prompt)
        tokens = model.generate(**inputs, max_new_tokens=TOKENS, num_beams=beams, do_sample=False)
        tokenizer.batch_decode(tokens, skip_special_tokens=True)

    return call
