"""Text generation for all caption families: options, seeds, stop words, token probabilities."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import structlog
import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    MinPLogitsWarper,
    StoppingCriteria,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

from shared.options import Options
from shared.text import has_words
from workers.runtime.decoding.conversations import ConversationDecoder, misfit
from workers.runtime.decoding.decoder import Decoder, StaticDecoder, rules_of
from workers.runtime.decoding.restrictions import Restrictions
from workers.runtime.device import float_type
from workers.runtime.graphs import runner_for
from workers.runtime.pretrained import Pretrained, PretrainedParameters

log = structlog.get_logger(__name__)
MAX_NEW_TOKENS = 512
"""Largest ``num_predict`` of a request."""
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 100.0
"""Logits stay finite when they are divided by these, also in float16."""
MIN_SHARE = 1e-6
"""Of probability: leaves the most probable token."""
MIN_REPEAT_PENALTY, MAX_REPEAT_PENALTY = 0.01, 100.0


class GenerationParameters(PretrainedParameters):
    """Defaults of a caption model; the ``options`` of requests override them."""

    max_new_tokens: int = 32
    num_beams: int = 1
    decoding: Literal["auto", "static", "generate"] = "auto"
    """``static``: in tensors of fixed shape, for requests without sampling, stop words and
    penalties; ``generate``: transformers' loop, for all; ``auto``: static on CUDA GPUs, where its
    steps become CUDA graphs."""


_PLAIN = {"max_new_tokens", "num_beams", "do_sample"}
_WARPERS: Mapping[str, Any] = {
    "temperature": (TemperatureLogitsWarper, 1.0),
    "top_k": (TopKLogitsWarper, 0),
    "top_p": (TopPLogitsWarper, 1.0),
    "min_p": (MinPLogitsWarper, None),
    "typical_p": (TypicalLogitsWarper, 1.0),
}
"""In the order of ``generate``, and the value with which each does nothing."""
Decode = Callable[[torch.Tensor], Sequence[str]]
"""Turns new tokens (N, length) into texts."""


def positions(model: Any) -> int:  # noqa: ANN401 - transformers' classes are not typed
    """Return how many tokens a model's text can have."""
    return int(model.config.get_text_config(decoder=True).max_position_embeddings)


def token_limit(options: Options, defaults: GenerationParameters, room: int) -> int:
    """Return the most new tokens of a text, 1 at least: see :func:`arguments`."""
    wanted = int(options.num_predict or 0)
    limit = min(wanted, MAX_NEW_TOKENS) if wanted > 0 else defaults.max_new_tokens
    return max(1, min(limit, room))


def arguments(
    options: Options, defaults: GenerationParameters, decode: Decode, room: int
) -> dict[str, Any]:
    """Translate options from Ollama's names to arguments of transformers' ``generate``.

    Any value does something: one that is out of range counts as the nearest that is not, as on
    Ollama's servers. A temperature above 0 samples, without beams; otherwise decoding is greedy or
    by beam search. A ``num_predict`` below 1, which is "no limit" for Ollama, means the default.

    Args:
        options: of the request.
        defaults: of the model.
        decode: to look for stop words.
        room: how many new tokens the model has positions for.
    """
    chosen: dict[str, Any] = {
        "max_new_tokens": token_limit(options, defaults, room),
        "num_beams": defaults.num_beams,
        "do_sample": False,
    }
    if options.samples:
        chosen |= _sampling(options) | {"do_sample": True, "num_beams": 1}
    if (options.repeat_penalty or 0) > 0:
        penalty = _within(options.repeat_penalty, MIN_REPEAT_PENALTY, MAX_REPEAT_PENALTY)
        chosen["repetition_penalty"] = penalty
    if options.stop_words:
        stop = StopWords(decode, options.stop_words)
        chosen["stopping_criteria"] = StoppingCriteriaList([stop])
    return chosen


def is_plain(arguments: Mapping[str, Any]) -> bool:
    """Return whether arguments of ``generate`` ask for nothing but the most probable text."""
    return not arguments["do_sample"] and not arguments.keys() - _PLAIN


def static_decoder(
    decoder: Decoder,
    config: GenerationConfig,
    defaults: GenerationParameters,
    pretrained: Pretrained,
    beams: int,
) -> StaticDecoder | None:
    """Return what generates plain texts of a model; ``None`` if ``generate`` must.

    Args:
        decoder: the family's.
        config: what the checkpoint says about texts.
        defaults: of the model.
        pretrained: device and dtype.
        beams: number of texts to choose from.
    """
    wanted = defaults.decoding
    if wanted == "generate" or (wanted == "auto" and pretrained.device.type != "cuda"):
        return None
    rules = rules_of(config, beams)
    if rules is None:
        log.info("the checkpoint's generation_config.json asks for transformers' own loop")
        return None
    runner = runner_for(pretrained.device)
    return StaticDecoder(decoder, rules, runner, float_type(pretrained.dtype))


def conversation_decoder(
    model: Any,  # noqa: ANN401 - not typed
    defaults: GenerationParameters,
    pretrained: Pretrained,
) -> ConversationDecoder | str:
    """Return what continues conversations with the most probable texts, or why ``generate`` must.

    Args:
        model: one that chats.
        defaults: of the model.
        pretrained: device and dtype.
    """
    wanted = defaults.decoding
    if wanted == "generate" or (wanted == "auto" and pretrained.device.type != "cuda"):
        return "transformers' own loop decodes"
    config = copy.deepcopy(model.generation_config)
    # The penalty is what each request gets that has none of its own, and the cache is ours.
    config.repetition_penalty = config.cache_implementation = None
    rules = rules_of(config, beams=1)
    reason = misfit(model)
    if not reason and rules and replace(rules.restrictions, never=()) == Restrictions():
        runner = runner_for(pretrained.device)
        return ConversationDecoder(model, rules, runner, float_type(pretrained.dtype))
    reason = reason or "its generation_config.json has rules that only this loop knows"
    log.info("conversations are decoded by transformers' own loop", reason=reason)
    return f"transformers' own loop decodes, as {reason}"


def warpers(chosen: Mapping[str, Any]) -> LogitsProcessorList:
    """Return what ``generate`` does to scores with these arguments before it draws a token."""
    return LogitsProcessorList(
        kind(chosen[name])
        for name, (kind, without) in _WARPERS.items()
        if chosen.get(name) not in (None, without)
    )


def sampling_defaults(config: GenerationConfig) -> dict[str, Any]:
    """Return what a checkpoint says of sampling, and transformers where it says nothing."""
    given = {name: getattr(config, name, None) for name in _WARPERS}
    return {"top_k": 50} | {name: value for name, value in given.items() if value is not None}


def _sampling(options: Options) -> dict[str, Any]:
    chosen: dict[str, Any] = {
        "temperature": _within(options.temperature, MIN_TEMPERATURE, MAX_TEMPERATURE)
    }
    if options.top_k is not None:
        chosen["top_k"] = max(0, int(options.top_k))
    shares = {"top_p": options.top_p, "min_p": options.min_p, "typical_p": options.typical_p}
    given = {name: value for name, value in shares.items() if value is not None}
    return chosen | {name: _within(value, MIN_SHARE, 1.0) for name, value in given.items()}


def _within(value: float | None, least: float, most: float) -> float:
    return float(min(max(value or 0.0, least), most))


def seed(options: Options) -> None:
    """Seed torch's generator with the request's seed, or randomly when it has none."""
    if options.fixed_seed is None:
        torch.seed()
    else:
        torch.manual_seed(options.fixed_seed & 0xFFFF_FFFF_FFFF_FFFF)


def cut(text: str, options: Options) -> str:
    """Cut a generated text at the first of the stop words, but not so that no word is left."""
    end = stop_at(text, options)
    return text[:end] if end >= 0 else text


def stop_at(text: str, options: Options) -> int:
    """Return where the first of the stop words ends a text; -1: none does."""
    ends = [end for word in options.stop_words if (end := _find(word, text)) >= 0]
    return min(ends, default=-1)


def _find(word: str, text: str) -> int:
    """Return where a stop word ends a text; -1: it does not."""
    position = text.find(word)
    while position >= 0 and not has_words(text[:position]):
        position = text.find(word, position + 1)
    return position


class StopWords(StoppingCriteria):
    """Ends a text once it has a stop word.

    transformers' own criterion raises an error for words that the vocabulary cannot spell, and
    takes seconds to prepare for long ones.
    """

    def __init__(self, decode: Decode, words: Sequence[str]) -> None:
        self._decode, self._words = decode, words
        self._start: int | None = None

    def __call__(self, input_ids: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:  # noqa: ANN401
        """Return (N,): whether each row of ``input_ids`` (N, length) has a stop word."""
        if self._start is None:  # the first call comes after the first new token
            self._start = input_ids.shape[1] - 1
        texts = self._decode(input_ids[:, self._start :])
        done = [any(_find(word, text) >= 0 for word in self._words) for text in texts]
        return torch.tensor(done, dtype=torch.bool, device=input_ids.device)


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
