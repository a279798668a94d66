"""Configurations of published models, as their repositories on the hub have them.

A configuration has what differs from transformers' defaults. A test compares the numbers of
parameters that follow with those that the publishers state.
"""

# transformers leaves many functions without types
# mypy: allow-untyped-calls

from typing import Any, NamedTuple

import torch  # noqa: TID253 - not used by the service
from transformers import (  # noqa: TID253
    CONFIG_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoModel,
    AutoModelForImageTextToText,
)

Config = dict[str, Any]


def _smolvlm2(text: Config) -> Config:
    return {
        "model_type": "smolvlm",
        "image_token_id": 49190,
        "scale_factor": 4,
        "text_config": {
            "model_type": "llama",
            "vocab_size": 49280,
            "head_dim": 64,
            "max_position_embeddings": 8192,
            "rms_norm_eps": 1e-5,
            "rope_parameters": {"rope_type": "default", "rope_theta": 100_000.0},
            **text,
        },
        "vision_config": {
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "image_size": 512,
            "patch_size": 16,
        },
    }


def _qwen3_vl(text: Config) -> Config:
    return {
        "model_type": "qwen3_vl",
        "tie_word_embeddings": True,
        "text_config": {
            "model_type": "qwen3_vl_text",
            "vocab_size": 151_936,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "max_position_embeddings": 262_144,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 5_000_000.0,
                "mrope_section": [24, 20, 20],
                "mrope_interleaved": True,
            },
            **text,
        },
        "vision_config": {
            "model_type": "qwen3_vl_vision",
            "depth": 24,
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_heads": 16,
            "out_hidden_size": text["hidden_size"],
            "deepstack_visual_indexes": [5, 11, 17],
        },
    }


class Published(NamedTuple):
    """A published model, as far as its size matters."""

    config: Config
    patches: int = 0
    """Of one image, at the budget of pixels that rows have by default, 720 x 720."""
    image_tokens: int = 0
    """Of the same image, in the text."""
    side: int = 0
    """Pixels of the square in which it sees an image, if it is not a chat model."""


MODELS = {
    "smolvlm2-256m": Published(
        _smolvlm2(
            {
                "hidden_size": 576,
                "intermediate_size": 1536,
                "num_hidden_layers": 30,
                "num_attention_heads": 9,
                "num_key_value_heads": 3,
            }
        ),
        patches=32 * 32,  # one tile of 512 px
        image_tokens=64,
    ),
    "smolvlm2": Published(
        _smolvlm2(
            {
                "hidden_size": 960,
                "intermediate_size": 2560,
                "num_hidden_layers": 32,
                "num_attention_heads": 15,
                "num_key_value_heads": 5,
            }
        ),
        patches=32 * 32,
        image_tokens=64,
    ),
    "qwen3-vl-2b": Published(
        _qwen3_vl(
            {
                "hidden_size": 2048,
                "intermediate_size": 6144,
                "num_hidden_layers": 28,
                "num_attention_heads": 16,
            }
        ),
        patches=44 * 44,  # of 16 px, in twos
        image_tokens=22 * 22,
    ),
    "qwen3-vl-4b": Published(
        _qwen3_vl(
            {
                "hidden_size": 2560,
                "intermediate_size": 9728,
                "num_hidden_layers": 36,
                "num_attention_heads": 32,
            }
        ),
        patches=44 * 44,
        image_tokens=22 * 22,
    ),
    "gemma4-e2b": Published(
        {
            "model_type": "gemma4",
            "text_config": {
                "hidden_size": 1536,
                "intermediate_size": 6144,
                "num_hidden_layers": 35,
                "num_attention_heads": 8,
                "num_key_value_heads": 1,
                "head_dim": 256,
                "global_head_dim": 512,
                "num_kv_shared_layers": 20,
                "hidden_size_per_layer_input": 256,
                "use_double_wide_mlp": True,
                "sliding_window": 512,
                "layer_types": [*["sliding_attention"] * 4, "full_attention"] * 7,
            },
            "vision_config": {},
            "audio_config": {},
        },
        patches=9 * 140,  # of the numbers of tokens that it may have, the largest that fits
        image_tokens=140,
    ),
    "minicpm-v-4.6": Published(
        {
            "model_type": "minicpmv4_6",
            "image_size": 1120,
            "insert_layer_id": 6,
            "tie_word_embeddings": True,
            "text_config": {
                "model_type": "qwen3_5_text",
                "vocab_size": 248_320,
                "hidden_size": 1024,
                "intermediate_size": 3584,
                "num_hidden_layers": 24,
                "num_attention_heads": 8,
                "num_key_value_heads": 2,
                "head_dim": 256,
                "linear_num_key_heads": 16,
                "linear_num_value_heads": 16,
                "tie_word_embeddings": True,
            },
            "vision_config": {
                "hidden_size": 1152,
                "image_size": 980,
                "intermediate_size": 4304,
                "num_attention_heads": 16,
                "num_hidden_layers": 27,
                "patch_size": 14,
            },
        },
        patches=3 * 32 * 32,  # the whole and two slices, of 448 px each
        image_tokens=3 * 64,
    ),
    "florence2-base": Published(
        {
            "model_type": "florence2",
            "vision_config": {"projection_dim": 768},
            "text_config": {
                "model_type": "bart",
                "vocab_size": 51_289,
                "d_model": 768,
                "encoder_layers": 6,
                "decoder_layers": 6,
                "encoder_attention_heads": 12,
                "decoder_attention_heads": 12,
                "encoder_ffn_dim": 3072,
                "decoder_ffn_dim": 3072,
                "max_position_embeddings": 1024,
            },
        },
        image_tokens=577,  # 24 x 24 patches of the last stage, and their mean
        side=768,
    ),
    "siglip2-labels": Published(
        {
            "model_type": "siglip",
            "text_config": {"vocab_size": 256_000},
            "vision_config": {"image_size": 224, "patch_size": 16},
        },
        side=224,
    ),
}
"""By the name of the row."""


def config_of(name: str, **changes: Config) -> Any:  # noqa: ANN401 - the type's own class
    """Return a model's configuration as transformers has it.

    Args:
        name: of the row.
        changes: to its parts, such as ``text_config``.
    """
    published = dict(MODELS[name].config)
    for part, values in changes.items():
        published[part] = {**published[part], **values}
    return CONFIG_MAPPING[published.pop("model_type")](**published)


def model_of(name: str, **options: Any) -> Any:  # noqa: ANN401 - the type's own class
    """Return a model with random weights.

    Args:
        name: of the row.
        options: of ``from_config``.
    """
    config = config_of(name)
    writes = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    loader: Any = AutoModelForImageTextToText if writes else AutoModel
    return loader.from_config(config, **options)


def parameters_of(name: str) -> int:
    """Return how many parameters a model has; none is allocated."""
    with torch.device("meta"):
        model = model_of(name)
    model.tie_weights()
    return sum(weight.numel() for weight in model.parameters())
