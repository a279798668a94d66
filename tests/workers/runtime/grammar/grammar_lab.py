"""A tiny random language model, and schemas of all kinds for it."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LogitsProcessorList,
    PreTrainedTokenizerFast,
    StoppingCriteriaList,
)

from shared.messages import JsonObject
from tests.workers.runtime.decoding.tape import TapeRunner
from workers.llm.tasks.labels import SCHEMA as LABELS_SCHEMA
from workers.llm.tasks.nsfw import SCHEMA as NSFW_SCHEMA
from workers.runtime.decoding.conversations import ConversationDecoder, Decoding
from workers.runtime.decoding.search import Rules
from workers.runtime.grammar.answer import Answer
from workers.runtime.grammar.compiling import Grammars
from workers.runtime.grammar.processor import GrammarProcessor, Masks
from workers.runtime.grammar.steering import Steering

MOST = 256
"""Tokens of an answer."""
PROMPT = 5
"""Tokens of a prompt."""
PERSON: JsonObject = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
}
SCHEMAS: dict[str, JsonObject] = {
    "labels": LABELS_SCHEMA,
    "nsfw": NSFW_SCHEMA,
    "any object": {"type": "object"},
    "list of objects": {"type": "array", "minItems": 2, "items": PERSON},
    "choice": {"enum": ["a red square", "tiny", 7, None, {"a": [1]}]},
    "alternatives": {"anyOf": [{"type": "string"}, PERSON, {"type": "array"}]},
    "recursive": {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "value": {"type": "number"},
                    "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                },
                "required": ["value", "next"],
            }
        },
    },
    "combined": {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {"type": "number"}}, "required": ["b"]},
        ]
    },
    "map": {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1},
    "long": {"type": "string", "minLength": 12, "maxLength": 40},
    "date": {"type": "string", "format": "date-time"},
    "pattern": {"type": "string", "pattern": "^[A-Z]{3}-\\d+$"},
    "pattern's end": {"type": "string", "pattern": "^.*foo$"},
    "unicode": {"type": "string", "pattern": "^é+ü$"},
    "numbers": {"type": "array", "items": {"type": "number", "minimum": 0.5}, "maxItems": 9},
    "steps": {"type": "integer", "minimum": 10, "multipleOf": 7},
    "tuple": {"type": "array", "prefixItems": [{"const": "x"}, PERSON], "items": False},
}


@cache
def tokenizer() -> Any:
    """Return a tokenizer of bytes and of some pieces of JSON."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=340, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(
        ['{"labels": [{"name": "a dog", "confidence": 0.5}]}'] * 2, trainer
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


@cache
def grammars() -> Grammars:
    return Grammars(tokenizer(), [tokenizer().eos_token_id], MOST)


@cache
def masks() -> Masks:
    return Masks(grammars().tokenizer.vocab_size)


@cache
def model() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer()) + 5,  # as many models have more scores than tokens
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        initializer_range=0.3,
        bos_token_id=tokenizer().bos_token_id,
        eos_token_id=tokenizer().eos_token_id,
        pad_token_id=tokenizer().pad_token_id,
    )
    return LlamaForCausalLM(config).eval()  # type: ignore[no-untyped-call]


@torch.inference_mode()
def generate(
    answers: Sequence[Answer | None], limit: int, seed: int, *, sample: bool = False
) -> list[list[int]]:
    """Write answers to random prompts; returns the new tokens of each row."""
    warpers = LogitsProcessorList() if sample else None
    processor = GrammarProcessor(answers, masks(), warpers)
    given = _prompts(len(answers), seed)
    torch.manual_seed(seed)
    tokens = model().generate(
        **given,
        logits_processor=LogitsProcessorList([processor]) if any(answers) else None,
        max_new_tokens=limit,
        do_sample=sample,
    )
    rows: list[list[int]] = tokens[:, PROMPT:].tolist()
    return rows


@cache
def decoder() -> ConversationDecoder:
    rules = Rules((tokenizer().eos_token_id,), tokenizer().pad_token_id)
    return ConversationDecoder(model(), rules, TapeRunner(), torch.float32)


@torch.inference_mode()
def steer(answers: Sequence[Answer | None], limit: int, seed: int) -> list[list[int]]:
    """Write answers to the same prompts in tensors of fixed shape."""
    decoding = Decoding(limit, StoppingCriteriaList(), steering=Steering(answers, masks()))
    rows: list[list[int]] = decoder().generate(_prompts(len(answers), seed), decoding).tolist()
    return rows


def _prompts(count: int, seed: int) -> dict[str, torch.Tensor]:
    tokens = torch.randint(300, (count, PROMPT), generator=torch.Generator().manual_seed(seed))
    return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
