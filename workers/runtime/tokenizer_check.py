"""Whether a tokenizer can encode and decode: transformers makes one of any files, or of none."""

from pathlib import Path
from typing import Any

from workers.model.checkpoint import (
    CONFIG,
    TOKENIZER,
    TOKENIZER_TEXTS,
    VOCABULARIES,
    present_files,
)
from workers.model.family import PartDamaged, brief

SENTENCE = "a dog sits on the grass"
"""Half of its words are enough, as a vocabulary may be of another language."""
LEAST_KNOWN = 0.9
"""Share of the ids that the model can generate of which a healthy tokenizer knows the token.

Models are padded to a round number of ids, BLIP by 2 of 30,524; the most that we know of is 2 %
(Phi-2: 50,295 of 51,200).
"""


def check_tokenizer(tokenizer: Any, ids: int, folder: Path) -> None:  # noqa: ANN401
    """Check that a tokenizer knows the model's vocabulary, and returns words of a sentence.

    Args:
        tokenizer: one of transformers.
        ids: how many ids the model can generate.
        folder: where the tokenizer's files are.

    Raises:
        PartDamaged: it does not.
    """
    if problem := _find_problem(tokenizer, ids):
        vocabulary = present_files(folder, (TOKENIZER, *VOCABULARIES))[:1]
        where = f"{folder / vocabulary[0]} is damaged" if vocabulary else f"{TOKENIZER} is missing"
        raise PartDamaged(
            f"The tokenizer in {folder} {problem}: {where}. Fetch it again.",
            (*TOKENIZER_TEXTS, *VOCABULARIES),
        )


def _find_problem(tokenizer: Any, ids: int) -> str:  # noqa: ANN401
    try:
        known = len({index for index in tokenizer.get_vocab().values() if index < ids})
        encoded = tokenizer(SENTENCE)["input_ids"]
        decoded: str = tokenizer.decode(encoded, skip_special_tokens=True)
    except Exception as err:  # noqa: BLE001 - whatever a damaged file leads to
        return f"cannot read a sentence ({brief(err)})"
    if known < LEAST_KNOWN * ids:
        return f"knows {known:,} of the {ids:,} tokens that {CONFIG} says the model has"
    words = SENTENCE.split()
    if len(set(decoded.lower().split()).intersection(words)) <= len(words) / 2:
        return "does not give the words of a sentence back"
    return ""
