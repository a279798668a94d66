"""Untrained models of the served architectures, with their tokenizers and processors.

Tiny ones, which `train.py` trains, or such of the size of the published ones. The classes are the
real ones of transformers. Tokenizers are written by hand, without a trainer, so that they are the
same every time. `save` lays the files out as the repositories on the hub do.
"""

# transformers leaves much of what it offers without types
# mypy: allow-untyped-calls

from __future__ import annotations

import json
import string
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from tokenizers.pre_tokenizers import ByteLevel
from torch import nn
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipProcessor,
    GenerationConfig,
    GPT2Config,
    GPT2Tokenizer,
    Kosmos2Config,
    Kosmos2ForConditionalGeneration,
    Kosmos2Processor,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
    ViTConfig,
    ViTForImageClassification,
    XLMRobertaTokenizer,
)

# the variants that need no torchvision; files name the plain classes, see `save`
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from tools.tiny_checkpoints.shapes import COLOURS, LABELS, SHAPES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin
    from transformers.image_processing_utils import BaseImageProcessor

WIDTH = 64  # of the tiny models
WORDS = ("a", "an", "image", "of", *COLOURS, *SHAPES)


@dataclass(frozen=True)
class Transformer:
    """Size of a stack of layers.

    Attributes:
        width: Length of a hidden state; the layers in between are four times as wide.
        layers: How many there are.
        heads: How many of attention each layer has.

    """

    width: int
    layers: int
    heads: int


@dataclass(frozen=True)
class Size:
    """Size of a model.

    Attributes:
        side: Pixels of the square picture.
        patch: Pixels of a square patch of it.
        vision: What reads the picture.
        text: What writes the text.
        positions: Longest text, in tokens.
        initial: Standard deviation of the initial weights.
        pieces: Pieces of text in the vocabulary; 0: as few as the words of `shapes` need.

    """

    side: int
    patch: int
    vision: Transformer
    text: Transformer
    positions: int
    initial: float = 0.02
    pieces: int = 0


# Larger pictures or smaller patches make shapes hard to learn; smaller weights stall training.
TINY = Size(32, 8, Transformer(WIDTH, 3, 4), Transformer(WIDTH, 2, 4), 64, initial=0.08)
# Kosmos-2 has places for the picture in its text; sinusoids, so that nothing is stored for them.
TINY_KOSMOS_2 = replace(TINY, positions=256)


@dataclass(frozen=True)
class Parts:
    """All that makes up a checkpoint.

    Attributes:
        model: The model.
        image_processor: Turns pictures into the model's pixel values.
        image_processor_type: The class name for `preprocessor_config.json`.
        tokenizer: Text to ids and back; a classifier has none.
        processor: The tokenizer and the image processor as one, if the architecture has that.
        vocabulary_files: Whether the vocabulary lies beside `tokenizer.json` in files of its own.

    """

    model: PreTrainedModel
    image_processor: BaseImageProcessor
    image_processor_type: str
    tokenizer: PreTrainedTokenizerBase | None = None
    processor: ProcessorMixin | None = None
    vocabulary_files: bool = False


def gpt2_tokenizer(size: Size) -> GPT2Tokenizer:
    """Return a byte-level BPE tokenizer that has each of `WORDS` as one token."""
    vocab = {symbol: index for index, symbol in enumerate(sorted(ByteLevel.alphabet()))}
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        for form in ("\u0120" + word, word):  # with and without the space before it
            piece = form[0]
            for letter in form[1:]:
                if piece + letter not in vocab:
                    vocab[piece + letter] = len(vocab)
                    merges.append((piece, letter))
                piece += letter
    vocab |= {"\u0120" + word: len(vocab) + n for n, word in enumerate(_fillers(size, len(vocab)))}
    vocab["<|endoftext|>"] = len(vocab)
    tokenizer = GPT2Tokenizer(
        vocab=vocab,
        merges=merges,  # type: ignore[arg-type] # pairs are what it takes
        model_max_length=size.positions,
    )
    tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def bert_tokenizer(size: Size) -> BertTokenizer:
    """Return a WordPiece tokenizer with `WORDS`, characters, and BLIP's two extra tokens."""
    signs = dict.fromkeys((string.ascii_letters + string.digits + string.punctuation).lower())
    tails = ["##" + sign for sign in string.ascii_lowercase + string.digits]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *signs, *tails, *WORDS]
    vocab = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    vocab |= {word: len(vocab) + n for n, word in enumerate(_fillers(size, len(vocab)))}
    tokenizer = BertTokenizer(vocab=vocab, model_max_length=size.positions)
    tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    tokenizer.add_special_tokens({"extra_special_tokens": ["[ENC]"]})
    return tokenizer


def xlm_roberta_tokenizer(size: Size) -> XLMRobertaTokenizer:
    """Return a Unigram tokenizer with `WORDS` and characters.

    The 64 ids after `<unk>` serve Kosmos-2 as places for the picture, so there must be that many.
    """
    signs = string.ascii_letters + string.digits + string.punctuation
    vocab = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocab += [("\u2581" + word, -4.0) for word in WORDS]
    vocab += [("\u2581", -6.0), *((sign, -9.0) for sign in signs)]
    vocab += [("\u2581" + word, -20.0) for word in _fillers(size, len(vocab))]
    return XLMRobertaTokenizer(vocab=[*vocab, ("<mask>", 0.0)], model_max_length=2048)


def _fillers(size: Size, count: int) -> list[str]:
    """Return words that fill a vocabulary of `count` pieces up, but for a last special token."""
    return [f"w{index}" for index in range(count, size.pieces - 1)]


def _vit_config(size: Size) -> ViTConfig:
    return ViTConfig(
        image_size=size.side,
        patch_size=size.patch,
        hidden_size=size.vision.width,
        num_hidden_layers=size.vision.layers,
        num_attention_heads=size.vision.heads,
        intermediate_size=4 * size.vision.width,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=size.initial,
    )


def _vit_image_processor(size: Size) -> ViTImageProcessorPil:
    half = [0.5, 0.5, 0.5]
    return ViTImageProcessorPil(size=_square(size), image_mean=half, image_std=half)


def _square(size: Size) -> dict[str, int]:
    return {"height": size.side, "width": size.side}


def vit_gpt2(size: Size = TINY) -> Parts:
    """Return a ViT encoder with a GPT-2 decoder."""
    tokenizer = gpt2_tokenizer(size)
    end = tokenizer.eos_token_id
    decoder = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=size.positions,
        n_embd=size.text.width,
        n_layer=size.text.layers,
        n_head=size.text.heads,
        add_cross_attention=True,
        bos_token_id=end,
        eos_token_id=end,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        initializer_range=size.initial,
    )
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(_vit_config(size), decoder)
    config.decoder_start_token_id = config.pad_token_id = config.eos_token_id = end
    model = VisionEncoderDecoderModel(config)
    model.generation_config = GenerationConfig(
        bos_token_id=end, eos_token_id=end, pad_token_id=end, decoder_start_token_id=end
    )
    return Parts(
        model, _vit_image_processor(size), "ViTImageProcessor", tokenizer, vocabulary_files=True
    )


def blip(size: Size = TINY) -> Parts:
    """Return a BLIP captioning model."""
    tokenizer = bert_tokenizer(size)
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": size.text.width,
        "encoder_hidden_size": size.vision.width,
        "intermediate_size": 4 * size.text.width,
        "num_hidden_layers": size.text.layers,
        "num_attention_heads": size.text.heads,
        "max_position_embeddings": size.positions,
        "projection_dim": size.text.width,
        "initializer_range": size.initial,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "bos_token_id": tokenizer.bos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "sep_token_id": tokenizer.sep_token_id,
        "eos_token_id": tokenizer.sep_token_id,
    }
    config = BlipConfig(
        text_config=text,
        vision_config=_vision(size) | {"projection_dim": size.text.width},
        projection_dim=size.text.width,
        image_text_hidden_size=size.text.width,
        initializer_range=size.initial,
    )
    images = BlipImageProcessorPil(size=_square(size))
    processor = BlipProcessor(images, tokenizer)
    model = BlipForConditionalGeneration(config)
    return Parts(model, images, "BlipImageProcessor", tokenizer, processor, vocabulary_files=True)


def _vision(size: Size) -> dict[str, int | float]:
    return {
        "hidden_size": size.vision.width,
        "intermediate_size": 4 * size.vision.width,
        "num_hidden_layers": size.vision.layers,
        "num_attention_heads": size.vision.heads,
        "image_size": size.side,
        "patch_size": size.patch,
        "initializer_range": size.initial,
    }


def kosmos_2(size: Size = TINY_KOSMOS_2) -> Parts:
    """Return a Kosmos-2 model; its processor adds the tags and 1024 places to the tokenizer."""
    tokenizer = xlm_roberta_tokenizer(size)
    images = CLIPImageProcessorPil(size={"shortest_edge": size.side}, crop_size=_square(size))
    processor = Kosmos2Processor(images, tokenizer)
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": size.positions,
        "embed_dim": size.text.width,
        "layers": size.text.layers,
        "ffn_dim": 4 * size.text.width,
        "attention_heads": size.text.heads,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "init_std": size.initial,
    }
    config = Kosmos2Config(text_config=text, vision_config=_vision(size))
    model = Kosmos2ForConditionalGeneration(config)
    # what comes in has length 1, so the usual small weights would drown it in the queries
    nn.init.normal_(model.image_to_text_projection.dense.weight)
    model.generation_config = GenerationConfig(bos_token_id=0, eos_token_id=2, pad_token_id=1)
    return Parts(model, images, "CLIPImageProcessor", tokenizer, processor)


def vit_classifier() -> Parts:
    """Return a ViT that classifies pictures by `LABELS`."""
    config = _vit_config(TINY)
    config.id2label = dict(enumerate(LABELS))
    config.label2id = {label: index for index, label in enumerate(LABELS)}
    model = ViTForImageClassification(config)
    return Parts(model, _vit_image_processor(TINY), "ViTImageProcessor")


BUILDERS: dict[str, Callable[[], Parts]] = {
    "vit-gpt2": vit_gpt2,
    "blip": blip,
    "vit-classifier": vit_classifier,
    "kosmos-2": kosmos_2,
}


def save(parts: Parts, folder: Path, *, halve: bool = True) -> None:
    """Write a checkpoint as the repositories on the hub have it.

    Args:
        parts: What to write.
        folder: Where to; made when it does not exist, emptied of files when it does.
        halve: Store weights as float16 while `config.json` goes on to say float32, so that the
            files are half the size and load as float32.

    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    parts.model.save_pretrained(folder)
    if parts.tokenizer is not None:
        (parts.processor or parts.tokenizer).save_pretrained(folder)
        if parts.vocabulary_files:
            parts.tokenizer.backend_tokenizer.model.save(str(folder))
    parts.image_processor.save_pretrained(folder)
    # newer than the files on the hub, and all it says is in preprocessor_config.json too
    (folder / "processor_config.json").unlink(missing_ok=True)
    names = {"image_processor_type": parts.image_processor_type}
    if parts.processor is not None:
        names["processor_class"] = type(parts.processor).__name__
    _update(folder / "preprocessor_config.json", names)
    if halve:
        _halve(folder / "model.safetensors")
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors makes files that only their maker can read


def _update(path: Path, changes: dict[str, str]) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | changes, indent=2, sort_keys=True) + "\n")


def _halve(path: Path) -> None:
    """Rewrite a weights file with its float tensors as float16."""
    weights = {
        name: tensor.to(torch.float16) if tensor.is_floating_point() else tensor
        for name, tensor in load_file(path).items()
    }
    save_file(weights, path, metadata={"format": "pt"})
