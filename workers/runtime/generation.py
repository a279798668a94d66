"""Text generation for all caption families: options, seeds, stop words, token probabilities."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor

from shared.messages import Options
from workers.runtime.pretrained import PretrainedParameters

MAX_NEW_TOKENS = 512
"""Largest ``num_predict`` of a request."""


class GenerationParameters(PretrainedParameters):
    """Defaults of a caption model; the ``options`` of requests override them."""

    max_new_tokens: int = 32
    num_beams: int = 1


def arguments(options: Options, defaults: GenerationParameters, tokenizer: Any) -> dict[str, Any]:  # noqa: ANN401
    """Translate options from Ollama's names to arguments of transformers' ``generate``.

    A temperature above 0 samples, without beams; otherwise decoding is greedy or by beam search.
    A ``num_predict`` below 1, which is "no limit" for Ollama, means the default.
    """
    wanted = options.num_predict or 0
    chosen: dict[str, Any] = {
        "max_new_tokens": min(wanted, MAX_NEW_TOKENS) if wanted > 0 else defaults.max_new_tokens,
        "num_beams": defaults.num_beams,
        "do_sample": False,
    }
    if options.temperature:
        chosen |= {"do_sample": True, "temperature": options.temperature, "num_beams": 1}
        chosen |= {"top_k": options.top_k} if options.top_k else {}
        chosen |= {"top_p": options.top_p} if options.top_p else {}
    if options.repeat_penalty:
        chosen["repetition_penalty"] = options.repeat_penalty
    if options.stop:
        chosen |= {"stop_strings": stop_words(options), "tokenizer": tokenizer}
    return chosen


def seed(options: Options) -> None:
    """Seed torch's generator with the request's seed, or randomly when it has none."""
    if options.seed is None:
        torch.seed()
    else:
        torch.manual_seed(options.seed & 0xFFFF_FFFF_FFFF_FFFF)


def stop_words(options: Options) -> list[str]:
    """Return the non-empty stop words."""
    words = (options.stop,) if isinstance(options.stop, str) else options.stop or ()
    return [word for word in words if word]


def tidy(text: str, options: Options) -> str:
    """Cut a generated text at its first stop word, and collapse white space."""
    for word in stop_words(options):
        text = text.partition(word)[0]
    return " ".join(text.split())


class TokenProbabilities(LogitsProcessor):
    """Records the probability of each chosen token, one step later, when the choice is known.

    Keeping the scores of all steps would cost 33 MB per image with Kosmos-2's vocabulary. The last
    token of each sequence (its end) is not recorded. Not for beam search, which reorders sequences.
    """

    def __init__(self) -> None:
        self._previous: torch.Tensor | None = None
        self._steps: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Record the last of ``input_ids`` (N, length); return ``scores`` (N, vocabulary) as is."""
        if self._previous is not None:
            self._steps.append(self._previous.gather(1, input_ids[:, -1:])[:, 0])
        self._previous = scores.float().softmax(-1)
        return scores

    def rows(self) -> list[list[float]]:
        """Return the probabilities of each sequence's new tokens, in order."""
        if not self._steps:
            return []
        rows: list[list[float]] = torch.stack(self._steps, 1).tolist()
        return rows


def mean(values: Sequence[float]) -> float:
    """Return the mean; 0 for no values."""
    return sum(values) / len(values) if values else 0.0
