"""Text generation as the caption families share it: options, seeds, stop words, probabilities."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor

from shared.messages import Options
from workers.runtime.pretrained import PretrainedParameters

LONGEST = 512
"""Most tokens that a request may ask for."""


class GenerationParameters(PretrainedParameters):
    """Defaults of a caption model; requests override them by ``options``."""

    max_new_tokens: int = 32
    num_beams: int = 1


def arguments(options: Options, defaults: GenerationParameters, tokenizer: Any) -> dict[str, Any]:  # noqa: ANN401
    """Translate options from Ollama's names to those of ``generate``.

    A temperature above 0 samples, without beams; otherwise decoding is greedy or by beams.
    ``num_predict`` below 1 means the default, as in Ollama it means "no limit".
    """
    wanted = options.num_predict or 0
    chosen: dict[str, Any] = {
        "max_new_tokens": min(wanted, LONGEST) if wanted > 0 else defaults.max_new_tokens,
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
    """Make sampling repeatable when the request asks for it, and random again when it does not."""
    if options.seed is None:
        torch.seed()
    else:
        torch.manual_seed(options.seed & 0xFFFF_FFFF_FFFF_FFFF)


def stop_words(options: Options) -> list[str]:
    """Return the stop words that are not empty."""
    words = (options.stop,) if isinstance(options.stop, str) else options.stop or ()
    return [word for word in words if word]


def tidy(text: str, options: Options) -> str:
    """Cut a generated text before its first stop word, and trim it."""
    for word in stop_words(options):
        text = text.partition(word)[0]
    return " ".join(text.split())


class TokenProbabilities(LogitsProcessor):
    """Notes the probability of each token that was chosen, one step later when it is known.

    Keeping the scores of all steps instead costs 33 MB per image with kosmos-2's vocabulary.
    The last token of each sequence (its end) is not noted. Not for beams, which change places.
    """

    def __init__(self) -> None:
        self._previous: torch.Tensor | None = None
        self._steps: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Note the probability of the newest of ``input_ids`` (N, length); pass scores on."""
        if self._previous is not None:
            self._steps.append(self._previous.gather(1, input_ids[:, -1:])[:, 0])
        self._previous = scores.float().softmax(-1)
        return scores

    def rows(self) -> list[list[float]]:
        """Return the probabilities per sequence, in the order of its new tokens."""
        if not self._steps:
            return []
        rows: list[list[float]] = torch.stack(self._steps, 1).tolist()
        return rows


def mean(values: Sequence[float]) -> float:
    """Return the mean, 0 for none."""
    return sum(values) / len(values) if values else 0.0
