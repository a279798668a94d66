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
from shared.tasks import CAPTION
from shared.tasks.registry import Task
from workers.llm.tasks import LLM_TASKS

TOKENS = 16
"""Length of all generated texts."""

CHAT_TYPES = ("smolvlm", "qwen3_vl")
"""Types of models that chat."""
PROMPTS = {"kosmos-2": "<grounding>An image of", "florence2": "<CAPTION>"}
"""Of the types whose processor takes one."""

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

    vit-gpt2 uses beam search with 4 beams, as the service of 2024 did. A chat model gets an image
    of as many tokens as our family gives it: many times as many are usual with SmolVLM.
    """
    import torch
    from transformers import AutoModelForImageTextToText, AutoTokenizer
    from transformers.utils import logging

    disable_progress_bar: Any = logging.disable_progress_bar  # not typed
    disable_progress_bar()
    loader: Any = AutoModelForImageTextToText
    model = loader.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    beams = 4 if model.config.model_type == "vision-encoder-decoder" else 1
    encode = _encoder(folder, model.config.model_type)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    photo = PHOTO.read_bytes()

    @torch.no_grad()
    def call() -> None:
        inputs = encode(decode_rgb(photo))
        tokens = model.generate(**inputs, max_new_tokens=TOKENS, num_beams=beams, do_sample=False)
        tokenizer.batch_decode(tokens, skip_special_tokens=True)

    return call


def _encoder(folder: Path, model_type: str) -> Callable[[Any], Any]:
    """Return a function that makes the inputs of ``generate`` from an image."""
    from transformers import AutoProcessor
    from transformers.models.auto import AutoImageProcessor

    if model_type in CHAT_TYPES:
        return _chat_encoder(folder)
    loader: Any = AutoProcessor if model_type in PROMPTS else AutoImageProcessor
    processor = loader.from_pretrained(folder, local_files_only=True)
    prompt = {"text": PROMPTS[model_type]} if model_type in PROMPTS else {}
    return lambda image: processor(images=image, return_tensors="pt", **prompt)


def _chat_encoder(folder: Path) -> Callable[[Any], Any]:
    # AutoProcessor has no processor of these types without torchvision, for the sake of videos.
    from workers.families.image_text_to_text import MAX_PIXELS
    from workers.runtime.chat_inputs import ChatInputs, Turn, single_question
    from workers.runtime.chat_processor import ChatProcessor
    from workers.runtime.image_budget import limits

    processor = ChatProcessor.from_pretrained(folder, local_files_only=True)
    images = processor.image_processor
    settings = images.to_dict() | limits(images, MAX_PIXELS)
    processor.image_processor = type(images).from_dict(settings)
    inputs = ChatInputs(processor)
    prompt = LLM_TASKS[CAPTION].prompt
    return lambda image: inputs.encode([Turn(single_question(prompt, [image]))])
