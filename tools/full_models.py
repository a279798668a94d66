"""Models of published configurations with random weights, and the tokenizers that go with them."""

# transformers leaves many functions without types
# mypy: allow-untyped-calls

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (  # noqa: TID253 - not used by the service
    AutoModelForImageTextToText,
    Florence2Processor,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil  # noqa: TID253
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (  # noqa: TID253
    Qwen2VLImageProcessorPil,
)
from transformers.models.smolvlm.image_processing_pil_smolvlm import (  # noqa: TID253
    SmolVLMImageProcessorPil,
)

from tools.configurations import MODELS, Config, config_of
from tools.tiny_checkpoints.checkpoint import Checkpoint
from workers.llm.tasks import LLM_TASKS

BEGIN, END, PAD = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% for part in message.content %}"
    "{% if part.type == 'image' %}IMAGE{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HALF = (0.5, 0.5, 0.5)


def smolvlm2(name: str) -> Checkpoint:
    """Return a SmolVLM2, which sees an image in tiles of 512 pixels."""
    tiles = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    marks = ["<fake_token_around_image>", "<image>", "<global-img>", *tiles]
    tokenizer = chat_tokenizer(name, marks, "<image>")
    config = config_of(name)
    config.image_token_id = tokenizer.convert_tokens_to_ids("<image>")
    images = SmolVLMImageProcessorPil(
        size={"longest_edge": 2048}, max_image_size={"longest_edge": 512}
    )
    settings = {"processor_class": "SmolVLMProcessor", "image_seq_len": 64}
    return _checkpoint(config, images, "SmolVLMImageProcessor", tokenizer, settings)


def qwen3_vl(name: str, layers: int = 0) -> Checkpoint:
    """Return a Qwen3-VL.

    Args:
        name: of the row.
        layers: number of layers of either transformer; 0: as published.
    """
    marks = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer = chat_tokenizer(name, marks, "<|vision_start|><|image_pad|><|vision_end|>")
    cuts: dict[str, Config] = {
        "text_config": {"num_hidden_layers": layers},
        "vision_config": {"depth": layers, "deepstack_visual_indexes": [0, 1, 2]},
    }
    config = config_of(name, **(cuts if layers else {}))
    ids = {mark: tokenizer.convert_tokens_to_ids(mark) for mark in marks}
    config.vision_start_token_id = ids["<|vision_start|>"]
    config.vision_end_token_id = ids["<|vision_end|>"]
    config.image_token_id, config.video_token_id = ids["<|image_pad|>"], ids["<|video_pad|>"]
    images = Qwen2VLImageProcessorPil(
        patch_size=16, image_mean=HALF, image_std=HALF,
        size={"shortest_edge": 256 * 256, "longest_edge": 4096 * 4096},
    )  # fmt: skip
    settings = {"processor_class": "Qwen3VLProcessor"}
    return _checkpoint(config, images, "Qwen2VLImageProcessorFast", tokenizer, settings)


def florence2(name: str) -> Checkpoint:
    """Return a Florence-2, which sees an image as a square of 768 pixels."""
    places = [f"<loc_{place}>" for place in range(1000)]
    kinds = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "image": "<image>"}
    tokenizer: Any = word_tokenizer(_pieces(name), places, kinds)
    config = config_of(name)
    ids = {
        f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("bos", "pad", "eos")
    }
    for key, value in ids.items():
        setattr(config.text_config, key, value)
    config.image_token_id = tokenizer.convert_tokens_to_ids("<image>")
    config.text_config.decoder_start_token_id = tokenizer.eos_token_id
    images: Any = CLIPImageProcessorPil(size={"height": 768, "width": 768}, do_center_crop=False)
    images.image_seq_length = 577  # 24 x 24 patches of the last stage, and their mean
    processor = Florence2Processor(images, tokenizer)
    model = _model(config)
    model.generation_config.update(**ids, decoder_start_token_id=tokenizer.eos_token_id)
    return Checkpoint(model, images, "CLIPImageProcessor", tokenizer, processor)


def chat_tokenizer(name: str, marks: Sequence[str], image: str) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a chat model.

    Args:
        name: of the row, which says how many tokens there are.
        marks: special tokens.
        image: what stands for an image in a prompt.
    """
    kinds = {"bos": BEGIN, "eos": END, "pad": PAD}
    tokenizer = word_tokenizer(_pieces(name), marks, kinds)
    tokenizer.chat_template = TEMPLATE.replace("IMAGE", image)
    return tokenizer


def word_tokenizer(
    pieces: int, marks: Sequence[str], kinds: dict[str, str]
) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer whose vocabulary has the words of all built-in prompts.

    Args:
        pieces: number of tokens; there are words that mean nothing to make up for it.
        marks: special tokens.
        kinds: special tokens that have a purpose, such as ``bos``.
    """
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=4000, initial_alphabet=alphabet, show_progress=False)
    trained.train_from_iterator([*_prompts()] * 2, trainer)
    content = json.loads(trained.to_str())["model"]
    special = [*kinds.values(), *marks]
    vocab: dict[str, int] = {token: place for place, token in enumerate(special)}
    for token in content["vocab"]:
        vocab[token] = len(vocab)
    vocab |= {f"\u0120w{place}": place for place in range(len(vocab), pieces)}
    tokenizer = Tokenizer(models.BPE(vocab, [tuple(pair) for pair in content["merges"]]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        additional_special_tokens=list(marks),
        **{f"{kind}_token": token for kind, token in kinds.items()},
    )


def _prompts() -> Iterator[str]:
    yield "a dog sits on the grass"  # what a worker's check of tokenizers encodes
    yield "What does the image describe? Locate the objects with category name in the image."
    for task in LLM_TASKS.values():
        yield task.prompt
        yield task.stricter_prompt


def _pieces(name: str) -> int:
    return int(MODELS[name].config["text_config"]["vocab_size"])


def _checkpoint(
    config: Any,  # noqa: ANN401 - transformers' classes are not typed
    images: Any,  # noqa: ANN401
    images_type: str,
    tokenizer: Any,  # noqa: ANN401
    settings: dict[str, Any],
) -> Checkpoint:
    ids = {
        f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("bos", "pad", "eos")
    }
    for key, value in ids.items():
        setattr(config.text_config, key, value)
    model = _model(config)
    model.generation_config.update(**ids)
    return Checkpoint(model, images, images_type, tokenizer, processor_settings=settings)


def _model(config: Any) -> Any:  # noqa: ANN401 - not typed
    loader: Any = AutoModelForImageTextToText
    return loader.from_config(config)
