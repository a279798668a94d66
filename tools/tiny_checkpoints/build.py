"""Untrained models of the served architectures, with their tokenizers and processors.

Either tiny ones, which `train.py` trains, or ones of published size. All classes are transformers'
own.
"""

# transformers leaves many functions without types
# mypy: allow-untyped-calls

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from transformers import (
    BlipConfig,
    BlipForConditionalGeneration,
    BlipProcessor,
    GenerationConfig,
    GPT2Config,
    Kosmos2Config,
    Kosmos2ForConditionalGeneration,
    Kosmos2Processor,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
    ViTConfig,
    ViTForImageClassification,
)

# These classes need no torchvision; `Checkpoint` has the names of the usual ones.
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from tools.tiny_checkpoints.chat import smolvlm
from tools.tiny_checkpoints.checkpoint import Checkpoint
from tools.tiny_checkpoints.contrastive import clip, siglip2
from tools.tiny_checkpoints.florence2 import florence2
from tools.tiny_checkpoints.shapes import LABELS
from tools.tiny_checkpoints.sizes import TINY, TINY_KOSMOS_2, Size, square, vision_config
from tools.tiny_checkpoints.tokenization import (
    bert_tokenizer,
    gpt2_tokenizer,
    xlm_roberta_tokenizer,
)

if TYPE_CHECKING:
    from collections.abc import Callable


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
    return ViTImageProcessorPil(size=square(size), image_mean=half, image_std=half)


def vit_gpt2(size: Size = TINY) -> Checkpoint:
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
    return Checkpoint(
        model, _vit_image_processor(size), "ViTImageProcessor", tokenizer, vocabulary_files=True
    )


def blip(size: Size = TINY) -> Checkpoint:
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
    images = BlipImageProcessorPil(size=square(size))
    processor = BlipProcessor(images, tokenizer)
    model = BlipForConditionalGeneration(config)
    return Checkpoint(
        model, images, "BlipImageProcessor", tokenizer, processor, vocabulary_files=True
    )


def _vision(size: Size) -> dict[str, int | float]:
    return {**vision_config(size), "initializer_range": size.initial}


def kosmos_2(size: Size = TINY_KOSMOS_2) -> Checkpoint:
    """Return a Kosmos-2 model; its processor adds tags and location tokens to the tokenizer."""
    tokenizer = xlm_roberta_tokenizer(size)
    images = CLIPImageProcessorPil(size={"shortest_edge": size.side}, crop_size=square(size))
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
    # Its inputs are normalised to length 1: with the usual small weights the queries dominate.
    nn.init.normal_(model.image_to_text_projection.dense.weight)
    model.generation_config = GenerationConfig(bos_token_id=0, eos_token_id=2, pad_token_id=1)
    return Checkpoint(model, images, "CLIPImageProcessor", tokenizer, processor)


def vit_classifier() -> Checkpoint:
    """Return a ViT that classifies pictures by `LABELS`."""
    config = _vit_config(TINY)
    config.id2label = dict(enumerate(LABELS))
    config.label2id = {label: index for index, label in enumerate(LABELS)}
    model = ViTForImageClassification(config)
    return Checkpoint(model, _vit_image_processor(TINY), "ViTImageProcessor")


BUILDERS: dict[str, Callable[[], Checkpoint]] = {
    "vit-gpt2": vit_gpt2,
    "blip": blip,
    "vit-classifier": vit_classifier,
    "kosmos-2": kosmos_2,
    "smolvlm": smolvlm,
    "siglip2": siglip2,
    "clip": clip,
    "florence2": florence2,
}
