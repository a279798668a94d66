"""Tokenizer and chat template of the tiny chat model."""

# transformers leaves many functions without types
# mypy: allow-untyped-calls

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tools.tiny_checkpoints.lessons import LESSONS
from tools.tiny_checkpoints.shapes import COLOURS, SHAPES, Box, Picture
from workers.llm.tasks import LLM_TASKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tools.tiny_checkpoints.lessons import Lesson

BEGIN, END, PAD, IMAGE = "<|im_start|>", "<end_of_utterance>", "<pad>", "<image>"
AROUND, WHOLE = "<fake_token_around_image>", "<global-img>"
PIECES = 900
"""Size of the vocabulary without special tokens."""
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% for part in message.content %}"
    "{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
"""With the switch for thinking that Qwen's templates have."""


def tokenizer() -> Any:  # noqa: ANN401 - untyped library
    """Return a byte-level BPE tokenizer, trained on all that the model is taught."""
    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=PIECES, initial_alphabet=alphabet, show_progress=False)
    bare.train_from_iterator(sorted(_sentences()), trainer)
    bare.add_tokens([AddedToken(tag, normalized=False) for tag in ("<think>", "</think>")])
    whole = PreTrainedTokenizerFast(
        tokenizer_object=bare,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens=[IMAGE, AROUND, WHOLE],
    )
    whole.chat_template = TEMPLATE
    return whole


def conversation(lesson: Lesson, pictures: Sequence[Picture]) -> list[dict[str, Any]]:
    """Return the messages of a lesson, as chat templates take them."""
    first = lesson.before[0] if lesson.before else lesson.question
    images = [{"type": "image"} for _ in pictures]
    messages = [_message("system", lesson.system)] if lesson.system else []
    messages.append({"role": "user", "content": [*images, {"type": "text", "text": first}]})
    if lesson.before:
        messages.append(_message("assistant", lesson.before[1](pictures)))
        messages.append(_message("user", lesson.question))
    return messages


def expanded(prompt: str, image_tokens: int) -> str:
    """Return a prompt in which each picture has its tokens, as SmolVLM's processor writes them."""
    return prompt.replace(IMAGE, f"{AROUND}{WHOLE}{IMAGE * image_tokens}{AROUND}")


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text}]}


def _sentences() -> Iterator[str]:
    yield "a dog sits on the grass"  # what the worker's check of tokenizers encodes
    box: Box = (0.0, 0.0, 1.0, 1.0)
    blank: Any = None
    for lesson in LESSONS:
        yield lesson.question
        yield lesson.system
        for name in COLOURS:
            for shape in SHAPES:
                yield lesson.answer([Picture(blank, name, shape, box)] * lesson.pictures)
    for task in LLM_TASKS.values():
        yield task.stricter_prompt
    yield "system user assistant I see a red circle."
