"""Tiny random checkpoints of model types that chat, made from their configurations."""

# transformers leaves many functions without types
# mypy: allow-untyped-calls

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, SmolVLMConfig, SmolVLMForConditionalGeneration
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

SENTENCES = ("a dog sits on the grass", "Describe this photo in one sentence")
END, PAD, BEGIN = "<end_of_utterance>", "<pad>", "<|im_start|>"
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}


def chat_template(image: str) -> str:
    """Return a template in which each image is one token."""
    content = f"{{% if c.type == 'image' %}}{image}{{% else %}}{{{{ c.text }}}}{{% endif %}}"
    return (
        f"{{% for m in messages %}}{BEGIN}{{{{ m.role }}}}\n"
        f"{{% for c in m.content %}}{content}{{% endfor %}}{END}\n{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{BEGIN}assistant\n{{% endif %}}"
    )


def byte_tokenizer(special: Sequence[str]) -> PreTrainedTokenizerFast:
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
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens=list(special),
    )


def smolvlm(folder: Path) -> None:
    """Make a SmolVLM; an image longer than 32 px is divided into tiles."""
    tiles = [f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)]
    tokenizer = byte_tokenizer(["<image>", "<fake_token_around_image>", "<global-img>", *tiles])
    images = SmolVLMImageProcessorPil(
        size={"longest_edge": 64}, max_image_size={"longest_edge": 32}
    )
    config = SmolVLMConfig(
        image_token_id=_id(tokenizer, "<image>"),
        scale_factor=2,
        vision_config=VISION,
        text_config={"model_type": "llama", **TEXT, **_ids(tokenizer)},
    )
    _save(folder, SmolVLMForConditionalGeneration, config, tokenizer, images, "SmolVLM")
    (folder / "chat_template.jinja").write_text(chat_template("<image>"))
    (folder / "processor_config.json").write_text(
        json.dumps({"processor_class": "SmolVLMProcessor", "image_seq_len": 4})
    )


MAKERS: dict[str, Callable[[Path], None]] = {"smolvlm": smolvlm}
"""By model type."""


def make_checkpoint(model_type: str, folder: Path) -> Path:
    """Make the checkpoint of a type in a new folder, and return that."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    MAKERS[model_type](folder)
    return folder


def _id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    return int(tokenizer.get_vocab()[token])


def _ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _save(
    folder: Path,
    kind: Any,
    config: Any,
    tokenizer: PreTrainedTokenizerFast,
    images: Any,
    name: str,
) -> None:
    """Write what a repository on the hub has."""
    model = kind(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    images.save_pretrained(folder)
    path = folder / "preprocessor_config.json"
    content = json.loads(path.read_text())
    content |= {"image_processor_type": f"{name}ImageProcessor"}
    path.write_text(json.dumps(content))
