"""Tiny random checkpoints of model types that chat, made from their configurations."""

# transformers leaves many functions without types
# mypy: allow-untyped-calls

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import CONFIG_MAPPING, AutoModelForImageTextToText, PreTrainedTokenizerFast

SENTENCES = ("a dog sits on the grass", "Describe this photo in one sentence")
END, PAD, BEGIN, IMAGE = "<end_of_turn>", "<pad>", "<start_of_turn>", "<image>"
LAYERS = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
}
TEXT = {**LAYERS, "max_position_embeddings": 4096}
VISION = {**LAYERS, "image_size": 32, "patch_size": 8}
SQUARE = {"height": 32, "width": 32}
GRIDS = [[32, 32], [32, 64], [64, 32], [64, 64]]

Ids = Mapping[str, int]
"""Tokens to their ids."""


@dataclass(frozen=True)
class Recipe:
    """How a checkpoint of one type is made."""

    config: Callable[[Ids], dict[str, Any]]
    """Arguments of the type's configuration, but for the vocabulary."""
    processor: str
    images: str
    """Class of the image processor, without ``ImageProcessor``."""
    image_settings: Mapping[str, Any]
    image: str = IMAGE
    """What a chat template has for an image."""
    tokens: Mapping[str, str] = field(default_factory=dict)
    """Further special tokens, by the name that the type's processor knows them by."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The type's own part of ``processor_config.json``."""
    has_template: bool = True
    seed: int = 0
    """One with which the model writes words."""


def _of_tiles(ids: Ids) -> dict[str, Any]:
    return {
        "image_token_id": ids[IMAGE],
        "scale_factor": 2,
        "vision_config": VISION,
        "text_config": {"model_type": "llama", **TEXT},
    }


def _qwen(ids: Ids, vision: Mapping[str, Any]) -> dict[str, Any]:
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4}
    return {
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
        "vision_config": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "depth": 2,
            "num_heads": 2,
            "patch_size": 8,
            "out_hidden_size": 32,
            **vision,
        },
        "text_config": {**TEXT, "head_dim": 16, "rope_parameters": rope},
    }


def _llava(ids: Ids, vision: str, **more: Any) -> dict[str, Any]:
    return {
        "image_token_index": ids[IMAGE],
        "image_token_id": ids[IMAGE],
        "vision_config": {"model_type": vision, **VISION, "projection_dim": 32},
        "text_config": {"model_type": "llama", **TEXT},
        **more,
    }


def _gemma(ids: Ids, **vision: Any) -> dict[str, Any]:
    return {
        "image_token_index": ids["<image_soft_token>"],
        "image_token_id": ids["<image_soft_token>"],
        "boi_token_index": ids["<start_of_image>"],
        "boi_token_id": ids["<start_of_image>"],
        "eoi_token_index": ids["<end_of_image>"],
        "eoi_token_id": ids["<end_of_image>"],
        "vision_config": {**LAYERS, **vision},
        "text_config": {**TEXT, "head_dim": 16, "sliding_window": 32},
    }


_TILES = tuple(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7))
_TILE_TOKENS = {"around": "<fake_token_around_image>", "whole": "<global-img>"} | {
    f"tile_{number}": tile for number, tile in enumerate(_TILES)
}
_QWEN = {
    "start": "<|vision_start|>", "end": "<|vision_end|>", "picture": "<|image_pad|>",
    "film": "<|video_pad|>",
}  # fmt: skip
_QWEN_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
_QWEN_SETTINGS = {"size": {"shortest_edge": 256, "longest_edge": 4096}, "patch_size": 8}
_GEMMA = {
    "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>",
    "image_token": "<image_soft_token>", "audio_token": "<audio_soft_token>",
    "boa_token": "<start_of_audio>", "eoa_token": "<end_of_audio>",
}  # fmt: skip
_EDGES = {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}}

RECIPES: dict[str, Recipe] = {
    "smolvlm": Recipe(
        _of_tiles, "SmolVLMProcessor", "SmolVLM", _EDGES,
        tokens=_TILE_TOKENS, settings={"image_seq_len": 4},
    ),
    "idefics3": Recipe(
        _of_tiles, "Idefics3Processor", "Idefics3", _EDGES,
        tokens=_TILE_TOKENS, settings={"image_seq_len": 4},
    ),
    "qwen2_5_vl": Recipe(
        lambda ids: _qwen(ids, {"window_size": 32, "fullatt_block_indexes": [1]}),
        "Qwen2_5_VLProcessor", "Qwen2VL", _QWEN_SETTINGS, _QWEN_IMAGE, _QWEN,
    ),
    "qwen3_vl": Recipe(
        lambda ids: _qwen(ids, {"num_position_embeddings": 64, "deepstack_visual_indexes": [0]}),
        "Qwen3VLProcessor", "Qwen2VL", _QWEN_SETTINGS, _QWEN_IMAGE, _QWEN,
    ),
    "gemma3": Recipe(
        lambda ids: _gemma(ids, image_size=32, patch_size=8)
        | {"mm_tokens_per_image": 4, "tie_word_embeddings": False},
        "Gemma3Processor", "Gemma3", {"size": SQUARE}, "<start_of_image>", _GEMMA,
        {"image_seq_length": 4},
    ),
    "gemma4": Recipe(
        lambda ids: _gemma(ids, head_dim=16, patch_size=4, pooling_kernel_size=2),
        "Gemma4Processor", "Gemma4",
        {"patch_size": 4, "pooling_kernel_size": 2, "max_soft_tokens": 70},
        "<image_soft_token>", _GEMMA, seed=2,
    ),
    "llava": Recipe(
        lambda ids: _llava(ids, "clip_vision_model", vision_feature_layer=-1),
        "LlavaProcessor", "Llava", {"size": {"shortest_edge": 32}, "crop_size": SQUARE},
        settings={
            "patch_size": 8, "num_additional_image_tokens": 1,
            "vision_feature_select_strategy": "default",
        },
    ),
    "llava_onevision": Recipe(
        lambda ids: _llava(
            ids, "siglip_vision_model", vision_feature_layer=-1, image_grid_pinpoints=GRIDS,
            vision_feature_select_strategy="full",
        ),
        "LlavaOnevisionProcessor", "LlavaOnevision",
        {"size": SQUARE, "image_grid_pinpoints": GRIDS},
        tokens={"film": "<video>"},
        settings={"num_image_tokens": 16, "vision_feature_select_strategy": "full"},
    ),
    "internvl": Recipe(
        lambda ids: {
            "image_token_id": ids["<IMG_CONTEXT>"],
            "image_seq_length": 4,
            "vision_config": {**VISION, "image_size": [32, 32], "patch_size": [8, 8]},
            "text_config": {"model_type": "qwen2", **TEXT},
        },
        "InternVLProcessor", "GotOcr2", {"size": SQUARE, "crop_to_patches": True},
        "<IMG_CONTEXT>",
        {
            "start_image_token": "<img>", "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>", "video_token": "<video>",
        },
        {"image_seq_length": 4},
    ),
    "paligemma": Recipe(
        lambda ids: {
            "image_token_index": ids[IMAGE],
            "vision_config": VISION,
            "text_config": {"model_type": "gemma", **TEXT, "head_dim": 16},
            "projection_dim": 32,
        },
        "PaliGemmaProcessor", "Siglip", {"size": SQUARE, "image_seq_length": 16},
        tokens={"image_token": IMAGE}, has_template=False,
    ),
    "llava_next": Recipe(
        lambda ids: _llava(
            ids, "siglip_vision_model", vision_feature_layer=[-1], image_grid_pinpoints=GRIDS,
            vision_feature_select_strategy="full",
        ),
        "LlavaNextProcessor", "LlavaNext",
        {"size": {"shortest_edge": 32}, "crop_size": SQUARE, "image_grid_pinpoints": GRIDS},
        settings={"patch_size": 8, "vision_feature_select_strategy": "full"},
    ),
    "minicpmv4_6": Recipe(
        lambda ids: {
            "image_token_id": ids["<unk_image>"],
            "video_token_id": ids["<unk_video>"],
            "insert_layer_id": 0,
            "vision_config": {**VISION, "insert_layer_id": 0},
            "text_config": {"model_type": "qwen2", **TEXT},
        },
        "MiniCPMV4_6Processor", "MiniCPMV4_6",
        {"patch_size": 8, "scale_resolution": 64, "max_slice_nums": 4},
        "<unk_image>",
        {
            "image_token": "<unk_image>", "video_token": "<unk_video>",
            "image_start_token": "<img>", "image_end_token": "</img>",
            "slice_start_token": "<slice>", "slice_end_token": "</slice>",
            "image_id_start_token": "<image_id>", "image_id_end_token": "</image_id>",
        },
    ),
    "granite4_vision": Recipe(
        lambda ids: _llava(
            ids, "siglip_vision_model", vision_feature_layer=[-1], image_grid_pinpoints=GRIDS,
            vision_feature_select_strategy="full", downsample_rate="1/2", image_seq_length=4,
            deepstack_layer_map=[[-1, 0]], spatial_target_layers=[1],
        ) | {"vision_config": {"model_type": "siglip_vision_model", **VISION, "hidden_size": 64}},
        "Granite4VisionProcessor", "LlavaNext",
        {"size": SQUARE, "crop_size": SQUARE, "image_grid_pinpoints": GRIDS},
        settings={
            "patch_size": 8, "vision_feature_select_strategy": "full", "downsample_rate": "1/2",
        },
    ),
}  # fmt: skip
"""By model type; ``llava_next`` is Granite vision 3 as well."""


def make_checkpoint(model_type: str, folder: Path) -> Path:
    """Make the checkpoint of a type in a new folder, as the hub has it, and return the folder."""
    recipe = RECIPES[model_type]
    tokenizer = _tokenizer(recipe)
    ids: Ids = tokenizer.get_vocab()
    named = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    settings = recipe.config(ids)
    settings["text_config"] = {**settings["text_config"], "vocab_size": len(ids), **named}
    if model_type == "gemma4":
        settings["text_config"]["vocab_size_per_layer_input"] = len(ids)
    torch.manual_seed(recipe.seed)
    model: Any = AutoModelForImageTextToText.from_config(CONFIG_MAPPING[model_type](**settings))
    for name in ("eos_token_id", "pad_token_id"):
        setattr(model.generation_config, name, named[name])
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if recipe.has_template:
        (folder / "chat_template.jinja").write_text(_template(recipe.image))
    for name, content in (
        ("preprocessor", {"image_processor_type": f"{recipe.images}ImageProcessor"}),
        ("processor", {"processor_class": recipe.processor}),
    ):
        own = recipe.image_settings if name == "preprocessor" else recipe.settings
        (folder / f"{name}_config.json").write_text(json.dumps({**content, **own}))
    return folder


def _tokenizer(recipe: Recipe) -> PreTrainedTokenizerFast:
    """Return a tokenizer of bytes, of the pieces of :data:`SENTENCES`, and of special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=350,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES * 2, trainer)
    named = {name: token for name, token in recipe.tokens.items() if name.endswith("_token")}
    special = dict.fromkeys((IMAGE, *recipe.tokens.values()))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens={f"special_{n}": token for n, token in enumerate(special)} | named,
    )


def _template(image: str) -> str:
    content = f"{{% if c.type == 'image' %}}{image}{{% else %}}{{{{ c.text }}}}{{% endif %}}"
    return (
        f"{{% for m in messages %}}{BEGIN}{{{{ m.role }}}}\n"
        f"{{% for c in m.content %}}{content}{{% endfor %}}{END}\n{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{BEGIN}model\n{{% endif %}}"
    )
