"""Text of models and clients: what Unicode means stays, and what can do harm goes."""

import re
from typing import Annotated

from pydantic import AfterValidator

_NONCHARACTERS = "\ufdd0-\ufdef" + "".join(
    f"{chr(plane * 0x10000 + 0xFFFE)}{chr(plane * 0x10000 + 0xFFFF)}" for plane in range(17)
)
_FLAG = "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{2,6}\U000e007f"
"""The flag of a region, as of Wales: a black flag, its code in tag characters, and their end."""
_HARMFUL = re.compile(
    f"({_FLAG})|["
    "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"  # C0 and C1 controls, but for white space
    "\u202a-\u202e\u2066-\u2069"  # embeddings, overrides, isolates
    "\u206a-\u206f"  # deprecated: digit shapes, symmetric swapping
    "\ufff9-\ufffb"  # interlinear annotations
    "\ufeff"  # byte order mark
    "\U000e0000-\U000e007f"  # tags
    f"{_NONCHARACTERS}]"
)


def clean(text: str) -> str:
    """Return a text without characters that can do harm where it is shown or stored.

    These are removed:

    - controls (C0, C1): terminals obey them, and XML cannot hold them. Those that are white space
      stay, for :func:`one_line`;
    - bidirectional embeddings, overrides and isolates: they show a text in another order than it is
      stored in, and reach beyond its end (https://trojansource.codes);
    - deprecated format characters, interlinear annotations, byte order marks, noncharacters: not
      for interchange (Unicode Standard, chapter 23);
    - tag characters, which are invisible and can carry a whole text, except in flags of regions;
    - lone surrogates: they cannot be encoded.

    Everything else stays: joiners and non-joiners (Persian, Hindi, families of emoji), directional
    marks (Hebrew, Arabic), variation selectors, skin tones, and characters that are newer than
    Python's tables.
    """
    return _HARMFUL.sub(r"\1", well_formed(text))


def one_line(text: str) -> str:
    """Return a clean text with all white space, line breaks too, as single spaces."""
    return " ".join(clean(text).split())


def well_formed(text: str) -> str:
    """Return a text with surrogate pairs as the characters that they stand for; lone ones go.

    JSON may hold both: a model's tokens are not whole characters.
    """
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")


WellFormed = Annotated[str, AfterValidator(well_formed)]
"""Text of messages."""


def has_words(text: str) -> bool:
    """Return whether there is a letter or a digit of any script in a text."""
    return any(map(str.isalnum, text))
