"""Florence-2, and what it is trained on: captions of three lengths, and things with their boxes."""

# transformers leaves many functions without types
# mypy: allow-untyped-calls

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor, nn
from transformers import (
    BartTokenizer,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2Processor,
    GenerationConfig,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from tools.tiny_checkpoints.checkpoint import Checkpoint
from tools.tiny_checkpoints.shapes import COLOURS, SHAPES
from tools.tiny_checkpoints.sizes import TINY, Size, square
from tools.tiny_checkpoints.tokenization import make_one_token

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tools.tiny_checkpoints.shapes import Picture

BINS = 1000
"""Places on each side of a picture, each with a token."""
COARSE = 50
"""Boxes are rounded to multiples of so many bins: 20 places on each side."""
IMAGE_TOKENS = 17
"""4 x 4 patches of the last stage, and their mean."""
POST_PROCESSING = {
    "pure_text": {},
    "description_with_bboxes": {"PATTERN": r"([a-zA-Z0-9 ]+)" + r"<loc_(\d+)>" * 4},
}
"""As in the published checkpoints, as far as it is used here."""
TASKS = {
    "<CAPTION>": "{caption}",
    "<DETAILED_CAPTION>": "the image shows {caption}",
    "<MORE_DETAILED_CAPTION>": "the image shows {caption} on grey paper. the paper is empty",
    "<OD>": "{shape}{box}",
    "<DENSE_REGION_CAPTION>": "{label}{box}",
}
"""What is said of a picture for each task."""
WORDS = (
    "a", "an", "and", "category", "caption", "describe", "descriptions", "detail", "does", "empty",
    "grey", "image", "in", "is", "name", "objects", "of", "on", "paper", "paragraph", "paper.",
    "shown", "shows", "the", "their", "what", "with", *COLOURS, *SHAPES,
)  # fmt: skip


def florence2(size: Size = TINY) -> Checkpoint:
    """Return a Florence-2 model whose picture encoder has a tenth of the published widths."""
    tokenizer: Any = _tokenizer()
    images: Any = CLIPImageProcessorPil(size=square(size), do_center_crop=False)
    images.image_seq_length = IMAGE_TOKENS
    processor = Florence2Processor(images, tokenizer, post_processor_config=POST_PROCESSING)
    width = size.text.width
    config = Florence2Config(
        vision_config={
            "depths": (1, 1, 1, 1),
            "patch_stride": (4, 2, 1, 1),
            "embed_dim": (32, 48, 64, 64),
            "num_heads": (2, 2, 4, 4),
            "num_groups": (2, 2, 4, 4),
            "window_size": 4,
            "drop_path_rate": 0.0,
            "projection_dim": width,
        },
        text_config={
            "model_type": "bart",
            "vocab_size": len(tokenizer),
            "d_model": width,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": size.text.heads,
            "decoder_attention_heads": size.text.heads,
            "encoder_ffn_dim": 4 * width,
            "decoder_ffn_dim": 4 * width,
            "max_position_embeddings": 128,
            "dropout": 0.0,
            "init_std": size.initial,
            "bos_token_id": 0,
            "pad_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 2,
            "forced_eos_token_id": 2,
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    model = Florence2ForConditionalGeneration(config)
    # As in the published checkpoints.
    model.generation_config = GenerationConfig(
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_bos_token_id=0,
        forced_eos_token_id=2,
        no_repeat_ngram_size=3,
        num_beams=3,
        early_stopping=True,
    )
    return Checkpoint(model, images, "CLIPImageProcessor", tokenizer, processor)


def _tokenizer() -> BartTokenizer:
    """Return a byte-level BPE tokenizer that has each word after a space as one token."""
    vocab = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    for sign in sorted(ByteLevel.alphabet()):
        vocab[sign] = len(vocab)
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        make_one_token("\u0120" + word, vocab, merges)
    vocab["<mask>"] = len(vocab)
    tokenizer: Any = BartTokenizer(
        vocab=vocab,
        merges=merges,  # type: ignore[arg-type] # pairs are what it takes
        model_max_length=128,
        extra_special_tokens={"image_token": "<image>"},
    )
    tokenizer.add_tokens([f"<loc_{place}>" for place in range(BINS)])
    return tokenizer  # type: ignore[no-any-return]


def box_text(picture: Picture) -> str:
    """Return the box of a picture's shape as Florence-2 writes it, rounded."""
    places = (min(max(round(side * BINS / COARSE) * COARSE, 0), BINS - 1) for side in picture.box)
    return "".join(f"<loc_{place}>" for place in places)


def florence2_loss(
    checkpoint: Checkpoint, pictures: Sequence[Picture], pixels: Tensor
) -> Callable[[Tensor], Tensor]:
    """Return the loss of Florence-2; each batch has another task."""
    model: Any = checkpoint.model
    processor: Any = checkpoint.processor
    tokenizer: Any = checkpoint.tokenizer
    prompts, answers = {}, {}
    for task, form in TASKS.items():
        inputs = processor(text=task, images=pictures[0].image, return_tensors="pt")
        prompts[task] = inputs.input_ids
        texts = [
            form.format(caption=p.caption, label=p.label, shape=p.shape, box=box_text(p))
            for p in pictures
        ]
        answers[task] = tokenizer(texts, padding=True, return_tensors="pt").input_ids
    turns = itertools.cycle(TASKS)

    def loss(index: Tensor) -> Tensor:
        task = next(turns)
        labels = answers[task][index]
        logits = model(
            input_ids=prompts[task].expand(len(index), -1),
            pixel_values=pixels[index],
            labels=labels,
        ).logits
        ignored = labels.masked_fill(labels == tokenizer.pad_token_id, -100)
        return nn.functional.cross_entropy(logits.flatten(0, 1), ignored.flatten())

    return loss
