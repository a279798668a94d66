"""Models that compare pictures with texts: CLIP, MetaCLIP 2, and both kinds of SigLIP 2."""

# transformers leaves many functions without types
# mypy: allow-untyped-calls

from __future__ import annotations

import math
import string
from typing import TYPE_CHECKING, Any

from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing
from torch import nn
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPProcessor,
    CLIPTokenizer,
    MetaClip2Config,
    MetaClip2Model,
    Siglip2Config,
    Siglip2Model,
    Siglip2Processor,
    Siglip2Tokenizer,
    SiglipConfig,
    SiglipModel,
    SiglipProcessor,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

from tools.tiny_checkpoints.checkpoint import Checkpoint
from tools.tiny_checkpoints.contrastive_texts import words
from tools.tiny_checkpoints.sizes import TINY, Size, Transformer
from tools.tiny_checkpoints.tokenization import xlm_roberta_tokenizer

if TYPE_CHECKING:
    pass

CLIP_TOKENS, SIGLIP_TOKENS = 24, 16
"""Longest texts."""


def siglip2(size: Size = TINY) -> Checkpoint:
    """Return a SigLIP 2 model of fixed resolution, whose type in transformers is ``siglip``."""
    tokenizer = _siglip2_tokenizer()
    config = SiglipConfig(
        text_config=_transformer(size.text, len(tokenizer), SIGLIP_TOKENS)
        | {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2},
        vision_config=_vision(size),
    )
    half = [0.5, 0.5, 0.5]
    square = {"height": size.side, "width": size.side}
    images = SiglipImageProcessorPil(size=square, image_mean=half, image_std=half)
    model = SiglipModel(config)
    nn.init.constant_(model.logit_scale, math.log(10))
    processor = SiglipProcessor(images, tokenizer)
    return Checkpoint(model, images, "SiglipImageProcessor", tokenizer, processor)


def siglip2_naflex(size: Size = TINY) -> Checkpoint:
    """Return a SigLIP 2 model that sees pictures in their proportions: the type ``siglip2``."""
    tokenizer = _siglip2_tokenizer()
    patches = (size.side // size.patch) ** 2
    vision = {name: value for name, value in _vision(size).items() if name != "image_size"}
    config = Siglip2Config(
        text_config=_transformer(size.text, len(tokenizer), SIGLIP_TOKENS)
        | {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2},
        vision_config=vision | {"num_patches": patches},
    )
    images = Siglip2ImageProcessorPil(patch_size=size.patch, max_num_patches=patches)
    processor = Siglip2Processor(images, tokenizer)
    model = Siglip2Model(config)
    return Checkpoint(model, images, "Siglip2ImageProcessor", tokenizer, processor)


def metaclip_2(size: Size = TINY) -> Checkpoint:
    """Return a MetaCLIP 2 model: CLIP with the tokenizer of a model for many languages."""
    tokenizer = xlm_roberta_tokenizer(size)
    config = MetaClip2Config(
        text_config=_transformer(size.text, len(tokenizer), CLIP_TOKENS)
        | {
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "projection_dim": size.text.width,
        },
        vision_config=_vision(size) | {"projection_dim": size.text.width},
        projection_dim=size.text.width,
    )
    images = _clip_images(size)
    processor = CLIPProcessor(images, tokenizer)
    return Checkpoint(MetaClip2Model(config), images, "CLIPImageProcessor", tokenizer, processor)


def clip(size: Size = TINY) -> Checkpoint:
    """Return a CLIP model."""
    tokenizer = _clip_tokenizer()
    config = CLIPConfig(
        text_config=_transformer(size.text, len(tokenizer), CLIP_TOKENS)
        | {
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "projection_dim": size.text.width,
        },
        vision_config=_vision(size) | {"projection_dim": size.text.width},
        projection_dim=size.text.width,
    )
    images = _clip_images(size)
    processor = CLIPProcessor(images, tokenizer)
    return Checkpoint(CLIPModel(config), images, "CLIPImageProcessor", tokenizer, processor)


def _clip_images(size: Size) -> CLIPImageProcessorPil:
    square = {"height": size.side, "width": size.side}
    return CLIPImageProcessorPil(size={"shortest_edge": size.side}, crop_size=square)


def _transformer(size: Transformer, pieces: int, tokens: int) -> dict[str, Any]:
    return {
        "vocab_size": pieces,
        "hidden_size": size.width,
        "intermediate_size": 4 * size.width,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "max_position_embeddings": tokens,
    }


def _vision(size: Size) -> dict[str, Any]:
    return {
        "hidden_size": size.vision.width,
        "intermediate_size": 4 * size.vision.width,
        "num_hidden_layers": size.vision.layers,
        "num_attention_heads": size.vision.heads,
        "image_size": size.side,
        "patch_size": size.patch,
    }


def _siglip2_tokenizer() -> Siglip2Tokenizer:
    """Return a BPE tokenizer that has each word after a space as one token."""
    signs = string.ascii_lowercase + string.digits + string.punctuation + "äöüß\u2581"
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *signs]
    vocab = {token: index for index, token in enumerate(tokens)}
    merges: list[tuple[str, str]] = []
    for word in words():
        piece = "\u2581"  # all pieces begin with it, so that no word disturbs another
        for letter in word:
            if piece + letter not in vocab:
                vocab[piece + letter] = len(vocab)
                merges.append((piece, letter))
            piece += letter
    tokenizer: Any = Siglip2Tokenizer(
        vocab=vocab,
        merges=merges,  # type: ignore[arg-type] # pairs are what it takes
        padding_side="right",
        model_max_length=SIGLIP_TOKENS,
    )
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", tokenizer.eos_token_id)]
    )
    return tokenizer  # type: ignore[no-any-return]


def _clip_tokenizer() -> CLIPTokenizer:
    """Return a byte-level BPE tokenizer that has each word as one token."""
    alphabet = sorted(ByteLevel.alphabet())
    tokens = [*alphabet, *(sign + "</w>" for sign in alphabet)]
    vocab = {token: index for index, token in enumerate(tokens)}
    merges: list[tuple[str, str]] = []
    for word in words():
        letters = [token for token, _ in ByteLevel(add_prefix_space=False).pre_tokenize_str(word)]
        *before, last = list("".join(letters))
        piece = last + "</w>"  # all pieces end with it, so that no word disturbs another
        for letter in reversed(before):
            if letter + piece not in vocab:
                vocab[letter + piece] = len(vocab)
                merges.append((letter, piece))
            piece = letter + piece
    vocab |= {"<|startoftext|>": len(vocab), "<|endoftext|>": len(vocab) + 1}
    return CLIPTokenizer(
        vocab=vocab,
        merges=merges,  # type: ignore[arg-type]
        model_max_length=CLIP_TOKENS,
    )
