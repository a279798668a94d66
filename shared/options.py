"""Generation options of requests, as Ollama has them."""

import math
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from shared.text import WellFormed

MAX_STOP_WORDS = 64
"""Stop words that our own models look for; a language model's server gets all of them."""
RANDOM_SEED = -1
"""Ollama's word for: another seed each time."""


def _check_number(value: object) -> object:
    """Refuse what is no number to JSON; Ollama does so, too, and takes any number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        finite = is_number and math.isfinite(value)  # type: ignore[arg-type]
    except OverflowError:  # an integer that no float can hold
        finite = False
    if value is not None and not finite:
        raise PydanticCustomError("number", "Input should be a finite number")
    return value


def _check_words(value: object) -> object:
    words = value if isinstance(value, list | tuple) else [value]
    if value is not None and not all(isinstance(word, str) for word in words):
        raise PydanticCustomError("words", "Input should be a string or a list of strings")
    return value


Number = Annotated[int | float | None, BeforeValidator(_check_number)]


class Options(BaseModel):
    """Generation options as the client sent them, named as Ollama names them.

    Any number is valid, as for Ollama: what a value means to our own models is decided where they
    use it. Options that are not listed here only Ollama understands.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    temperature: Number = Field(None, description="0 or less: the most probable tokens")
    top_k: Number = Field(None, description="0 or less: no limit")
    top_p: Number = None
    min_p: Number = None
    typical_p: Number = None
    seed: Number = Field(None, description="-1: another one each time")
    num_predict: Number = Field(None, description="most tokens to generate; below 1: default")
    repeat_penalty: Number = Field(None, description="0 or less: none")
    stop: Annotated[tuple[WellFormed, ...] | WellFormed | None, BeforeValidator(_check_words)] = (
        Field(None, description="words before which the text ends")
    )

    @property
    def known(self) -> "Options":
        """The options that models in model processes understand."""
        if not self.model_fields_set:
            return self
        fields = self.model_dump(include=set(Options.model_fields), exclude_unset=True)
        if self.stop is not None:
            fields["stop"] = self.stop_words
        return Options(**fields)

    @property
    def stop_words(self) -> tuple[str, ...]:
        """The first stop words that are not empty, each once."""
        words = (self.stop,) if isinstance(self.stop, str) else self.stop or ()
        return tuple(dict.fromkeys(word for word in words if word))[:MAX_STOP_WORDS]

    @property
    def samples(self) -> bool:
        """Whether tokens are drawn at random, rather than the most probable ones taken."""
        return (self.temperature or 0) > 0

    @property
    def fixed_seed(self) -> int | None:
        """The seed, without a fraction, as Ollama reads it; ``None``: a random one."""
        seed = None if self.seed is None else int(self.seed)
        return None if seed == RANDOM_SEED else seed

    @property
    def is_seeded(self) -> bool:
        """Whether repeated requests must get the same answer; others in a batch would change it."""
        return self.samples and self.fixed_seed is not None
