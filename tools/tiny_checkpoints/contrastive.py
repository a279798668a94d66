"""Models that compare pictures with texts: CLIP, MetaCLIP 2, and both kinds of SigLIP 2."""

# transformers leaves many functions without types
# mypy: allow-untyped-calls

from __future__ import annotations

import math
import string
from typing import Any

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
from tools.tiny_checkpoints.sizes import TINY, Size, Transformer, square, vision_config
from tools.tiny_checkpoints.tokenization import (
    make_one_token,
    special_ids,
    xlm_roberta_tokenizer,
)

CLIP_TOKENS, SIGLIP_TOKENS = 24, 16
"""Longest texts."""


def siglip2(size: Size = TINY) -> Checkpoint:
    """Return a SigLIP 2 model of fixed resolution, whose type in transformers is ``siglip``."""
    tokenizer = _siglip2_tokenizer()
    config = SiglipConfig(
        text_config=_transformer(size.text, len(tokenizer), SIGLIP_TOKENS)
        | {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2},
        vision_config=vision_config(size),
    )
    half = [0.5, 0.5, 0.5]
    images = SiglipImageProcessorPil(size=square(size), image_mean=half, image_std=half)
    model = SiglipModel(config)
    nn.init.constant_(model.logit_scale, math.log(10))
    processor = SiglipProcessor(images, tokenizer)
    return Checkpoint(model, images, "SiglipImageProcessor", tokenizer, processor)


def siglip2_naflex(size: Size = TINY) -> Checkpoint:
    """Return a SigLIP 2 model that sees pictures in their proportions: the type ``siglip2``."""
    tokenizer = _siglip2_tokenizer()
    patches = (size.side // size.patch) ** 2
    vision = {name: value for name, value in vision_config(size).items() if name != "image_size"}
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
    return _of_clip_kind(MetaClip2Config, MetaClip2Model, xlm_roberta_tokenizer(size), size)


def clip(size: Size = TINY) -> Checkpoint:
    """Return a CLIP model."""
    return _of_clip_kind(CLIPConfig, CLIPModel, _clip_tokenizer(), size)


def _of_clip_kind(config_type: Any, model_type: Any, tokenizer: Any, size: Size) -> Checkpoint:  # noqa: ANN401 - classes of transformers
    config = config_type(
        text_config=_transformer(size.text, len(tokenizer), CLIP_TOKENS)
        | special_ids(tokenizer)
        | {"projection_dim": size.text.width},
        vision_config=vision_config(size) | {"projection_dim": size.text.width},
        projection_dim=size.text.width,
    )
    images = CLIPImageProcessorPil(size={"shortest_edge": size.side}, crop_size=square(size))
    processor = CLIPProcessor(images, tokenizer)
    return Checkpoint(model_type(config), images, "CLIPImageProcessor", tokenizer, processor)


def _transformer(size: Transformer, pieces: int, tokens: int) -> dict[str, Any]:
    return {
        "vocab_size": pieces,
        "hidden_size": size.width,
        "intermediate_size": 4 * size.width,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "max_position_embeddings": tokens,
    }


def _siglip2_tokenizer() -> Siglip2Tokenizer:
    """Return a BPE tokenizer that has each word after a space as one token."""
    signs = string.ascii_lowercase + string.digits + string.punctuation + "äöüß\u2581"
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *signs]
    vocab = {token: index for index, token in enumerate(tokens)}
    merges: list[tuple[str, str]] = []
    for word in words():
        make_one_token("\u2581" + word, vocab, merges)
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
