"""Tokenizers written by hand, without a trainer, so that they are always the same."""

# transformers leaves many functions without types
# mypy: allow-untyped-calls

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any

from tokenizers.pre_tokenizers import ByteLevel
from transformers import BertTokenizer, GPT2Tokenizer, XLMRobertaTokenizer

from tools.tiny_checkpoints.shapes import COLOURS, SHAPES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from tools.tiny_checkpoints.sizes import Size

WORDS = ("a", "an", "image", "of", *COLOURS, *SHAPES)


def gpt2_tokenizer(size: Size) -> GPT2Tokenizer:
    """Return a byte-level BPE tokenizer that has each of `WORDS` as one token."""
    vocab = {symbol: index for index, symbol in enumerate(sorted(ByteLevel.alphabet()))}
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        for form in ("\u0120" + word, word):  # with and without a leading space
            make_one_token(form, vocab, merges)
    vocab |= {"\u0120" + word: len(vocab) + n for n, word in enumerate(_fillers(size, len(vocab)))}
    vocab["<|endoftext|>"] = len(vocab)
    tokenizer = GPT2Tokenizer(
        vocab=vocab,
        merges=merges,  # type: ignore[arg-type] # pairs are what it takes
        model_max_length=size.positions,
    )
    tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def make_one_token(text: str, vocab: dict[str, int], merges: list[tuple[str, str]]) -> None:
    """Add to a BPE tokenizer what has it spell a text as one token, letter after letter.

    Texts that begin with the mark of a space do not disturb each other.
    """
    piece = text[0]
    for letter in text[1:]:
        if piece + letter not in vocab:
            vocab[piece + letter] = len(vocab)
            merges.append((piece, letter))
        piece += letter


def special_ids(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Return the tokens that begin, end and fill up texts, as configurations have them."""
    return {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


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

    Kosmos-2 uses the 64 ids after `<unk>` as placeholders for the picture, so there must be 64.
    """
    signs = string.ascii_letters + string.digits + string.punctuation
    vocab = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocab += [("\u2581" + word, -4.0) for word in WORDS]
    vocab += [("\u2581", -6.0), *((sign, -9.0) for sign in signs)]
    vocab += [("\u2581" + word, -20.0) for word in _fillers(size, len(vocab))]
    return XLMRobertaTokenizer(vocab=[*vocab, ("<mask>", 0.0)], model_max_length=2048)


def _fillers(size: Size, count: int) -> list[str]:
    """Return words that extend a vocabulary of `count` pieces, up to a last special token."""
    return [f"w{index}" for index in range(count, size.pieces - 1)]
