"""Continues conversations about images in tensors of fixed shape, step by step.

Prompts, with their images, are read by ``generate`` itself, whatever the model's type does with
them. All further tokens are steps that can be recorded as CUDA graphs.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import LogitsProcessorList, StoppingCriteriaList

from workers.runtime.decoding.cache import ConversationCache
from workers.runtime.decoding.conversation_tensors import (
    NEW_TOKENS,
    ConversationTensors,
    padded_length,
)
from workers.runtime.decoding.decoder import (
    STEPS_PER_CHECK,
    additive_mask,
    padded_rows,
    whole_or_released,
)
from workers.runtime.decoding.search import GreedySearch, Rules
from workers.runtime.decoding.written_texts import WrittenTexts
from workers.runtime.grammar.steering import Steering
from workers.runtime.graphs import Runner

_LAYERS = {"full_attention", "sliding_attention"}
"""Kinds of layers that remember keys and values by place, and nothing else."""
_ROPE = ("dynamic", "longrope")
"""Kinds of rotary positions that look at the values of positions."""
MOST_DIFFERENCE = 0.1
"""Of scores, as a share of what they vary by. Rounding to bfloat16 makes a hundredth; wrong
positions or a wrong mask make a third and more."""
_COMPARED = 3
"""Tokens that are compared."""
_GREEDY: Any = {
    "do_sample": False, "num_beams": 1, "return_dict_in_generate": True, "output_logits": True
}  # fmt: skip


@dataclass(frozen=True)
class Decoding:
    """How answers are to be written."""

    new_tokens: int
    """Most tokens of an answer."""
    stops: StoppingCriteriaList
    """Further reasons to end a text; they see new tokens only."""
    penalty: float = 1.0
    """What scores of tokens that were there already are divided by, those below 0 multiplied."""
    warpers: LogitsProcessorList | None = None
    """What sampling does to scores; ``None``: the most probable token is taken."""
    steering: Steering | None = None
    """Chooses the tokens of rows with a grammar, the most probable ones; ``None``: none has one."""


class ConversationDecoder:
    """Writes answers; keeps the tensors of the largest batch so far."""

    def __init__(self, model: Any, rules: Rules, runner: Runner, dtype: torch.dtype) -> None:  # noqa: ANN401 - not typed
        """Prepare; memory is taken with the first batch.

        Args:
            model: of transformers, one for which :func:`misfit` finds nothing.
            rules: the checkpoint's, for a single text.
            runner: runs the steps.
            dtype: of the model's activations.
        """
        self._model, self._rules, self._runner, self._dtype = model, rules, runner, dtype
        text = model.config.get_text_config(decoder=True)
        kinds = set(getattr(text, "layer_types", None) or ())
        self._window = text.sliding_window if "sliding_attention" in kinds else None
        self._tensors: ConversationTensors | None = None

    @property
    def description(self) -> str:
        """For operators: whether the steps are recorded, and why not."""
        return self._runner.description

    def generate(self, inputs: Mapping[str, torch.Tensor], decoding: Decoding) -> torch.Tensor:
        """Return the new tokens of each row, (rows, new), on the CPU, padded after its end.

        Args:
            inputs: of ``generate``; shorter prompts are padded on the left.
            decoding: how.
        """
        with whole_or_released(self._runner, self.release):
            return self._generate(inputs, decoding)

    def difference(self, inputs: Mapping[str, torch.Tensor]) -> float:
        """Return how much the scores of two steps differ from those of ``generate``.

        Types of models are many, and one may do in ``generate`` what is not known here. What is
        known to differ is far above :data:`MOST_DIFFERENCE`, and what is rounded far below.

        Args:
            inputs: of ``generate``.

        Returns:
            The larger of both differences, as a share of what scores vary by.
        """
        usual = self._model.generate(
            **inputs, **_GREEDY, max_new_tokens=_COMPARED, min_new_tokens=_COMPARED
        )
        rows, given = inputs["input_ids"].shape
        found = []
        with whole_or_released(self._runner, self.release):
            tensors, shape = self._begin(inputs, Decoding(_COMPARED, StoppingCriteriaList()))
            for place in range(1, _COMPARED):
                tensors.search.append(usual.sequences[:, given + place - 1, None])
                wanted, own = usual.logits[place], self._logits(tensors, *shape)[:rows]
                spread = wanted - wanted.mean(-1, keepdim=True)
                found.append(float((own.float() - wanted).norm() / spread.norm()))
        return max(found)

    def release(self) -> None:
        """Give up all tensors; the next batch allocates what it needs."""
        self._tensors = None
        self._runner.forget()

    def _generate(self, inputs: Mapping[str, torch.Tensor], decoding: Decoding) -> torch.Tensor:
        tensors, shape = self._begin(inputs, decoding)
        texts = WrittenTexts(len(inputs["input_ids"]), self._rules, decoding.stops)
        if decoding.steering:
            self._write_steered(tensors, shape, texts, decoding.new_tokens, decoding.steering)
        else:
            self._write_freely(tensors, shape, texts, decoding)
        return texts.whole(tensors.search.result()[0])

    def _begin(
        self, inputs: Mapping[str, torch.Tensor], decoding: Decoding
    ) -> tuple[ConversationTensors, tuple[int, int]]:
        """Read the prompts; returns the tensors, and how many rows and tokens to compute."""
        rows, given = inputs["input_ids"].shape
        shape = padded_rows(rows), padded_length(given + decoding.new_tokens)
        tensors = self._room_for(*shape, decoding.new_tokens)
        tensors.cache.begin(*shape)
        logits, places = self._read(inputs, tensors.cache)
        # A prompt of no tokens: those of the texts alone.
        tensors.search.begin(inputs["input_ids"][0, :0], rows, shape[0], decoding.new_tokens)
        tensors.begin(shape, inputs, places, logits, decoding.penalty)
        return tensors, shape

    def _write_freely(
        self,
        tensors: ConversationTensors,
        shape: tuple[int, int],
        texts: WrittenTexts,
        decoding: Decoding,
    ) -> None:
        search, begun = tensors.search, tensors.logits[: shape[0]]
        fetched: Callable[[], torch.Tensor] | None = None
        for count in range(1, decoding.new_tokens + 1):
            if decoding.warpers is not None:
                self._draw(tensors, shape, texts.rows, decoding.warpers, is_first=count == 1)
            elif count == 1:
                self._runner.run(("begin", shape[0]), lambda: search.choose(begun))
            else:
                self._run("step", tensors, shape, search.choose)
            # What was fetched is looked at while the GPU is busy with the next token.
            if fetched and self._have_ended(texts, search, fetched()):
                break
            fetched = None
            if count % STEPS_PER_CHECK == 0:
                fetched = self._runner.fetch(search.tokens(count)[: texts.rows])

    def _draw(
        self,
        tensors: ConversationTensors,
        shape: tuple[int, int],
        rows: int,
        warpers: LogitsProcessorList,
        *,
        is_first: bool,
    ) -> None:
        """Draw a token for each row, with the random numbers that ``generate`` would take."""
        if not is_first:
            self._read_last(tensors, shape)
        scores: Any = warpers(None, tensors.logits[:rows].clone())  # type: ignore[arg-type]
        tensors.search.append(torch.multinomial(scores.softmax(-1), 1))

    def _write_steered(
        self,
        tensors: ConversationTensors,
        shape: tuple[int, int],
        texts: WrittenTexts,
        new_tokens: int,
        steering: Steering,
    ) -> None:
        """Write with grammars.

        What may follow is found out, and the best such token is looked at, while the GPU reads that
        token already. Where another one is taken, it reads again.
        """
        search = tensors.search
        tensors.begin_steering(steering.rows)
        for count in range(1, new_tokens + 1):
            tensors.allow(steering.masks())
            self._runner.run(("choose", shape[0]), lambda: tensors.choose_allowed(shape[0]))
            fetched = self._runner.fetch(search.tokens(count)[: texts.rows])
            is_last = count == new_tokens
            if not is_last:
                self._read_last(tensors, shape)
            tokens = fetched()
            changed = steering.take(tokens[:, -1].tolist(), tensors.scores)
            for row, token in changed.items():
                search.correct(row, token)
                tokens[row, -1] = token
            if is_last or self._have_ended(texts, search, tokens):
                break
            if any(not texts.has_ended(row) for row in changed):
                self._read_last(tensors, shape)

    def _read_last(self, tensors: ConversationTensors, shape: tuple[int, int]) -> None:
        """Read the last token of each row; may be repeated where some were corrected."""
        self._run("read", tensors, shape, tensors.keep)

    def _run(
        self,
        name: str,
        tensors: ConversationTensors,
        shape: tuple[int, int],
        use: Callable[[torch.Tensor], None],
    ) -> None:
        """Read one token more, and use the logits of the next one."""
        self._runner.run(
            (name, *shape, tensors.is_penalised),
            lambda: use(tensors.ruled(self._logits(tensors, *shape), shape[1])),
        )

    def _have_ended(self, texts: WrittenTexts, search: GreedySearch, tokens: torch.Tensor) -> bool:
        """Return whether all texts have ended, of which there are ``tokens`` (rows, so far)."""
        before = texts.ended
        texts.look(tokens)
        if (texts.ended & ~before).any():
            search.finish(texts.ended)
        return bool(texts.ended.all())

    def _read(
        self, inputs: Mapping[str, torch.Tensor], cache: ConversationCache
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Read the prompts.

        Returns:
            Logits of the first new token, (rows, vocabulary), and the positions of the last given
            one, (…, rows, 1), as the type counts them.
        """
        seen: list[torch.Tensor] = []

        def keep(_model: object, _args: object, given: dict[str, Any]) -> None:
            seen.append(given["position_ids"][..., -1:])

        handle = self._model.register_forward_pre_hook(keep, with_kwargs=True)
        try:
            begun = self._model.generate(
                **inputs,
                past_key_values=cache,
                max_new_tokens=1,
                cache_implementation=None,  # a checkpoint may name one of transformers' own
                **_GREEDY,
            )
        finally:
            handle.remove()
        return begun.logits[0], seen[0]

    def _room_for(self, rows: int, length: int, new_tokens: int) -> ConversationTensors:
        tensors = self._tensors
        if tensors and tensors.fits(rows, length, new_tokens):
            return tensors
        room = rows, rows * length, -(-new_tokens // NEW_TOKENS) * NEW_TOKENS
        if tensors:
            most = tensors.room
            room = max(room[0], most[0]), max(room[1], most[1]), max(room[2], most[2])
            del tensors
            self.release()
        self._tensors = ConversationTensors(self._rules, *room, self._model.device)
        return self._tensors

    def _logits(self, tensors: ConversationTensors, rows: int, length: int) -> torch.Tensor:
        """Read one token more; returns logits of the next one, (rows, vocabulary)."""
        search = tensors.search
        tensors.cache.position = place = search.position + tensors.given
        places = tensors.places[:length]
        allowed = tensors.known(rows, length) & (places <= place)
        mask: Any = self._mask(allowed)
        if self._window:
            near = self._mask(allowed & (places > place - self._window))
            mask = {"full_attention": mask, "sliding_attention": near}
        logits: torch.Tensor = self._model(
            input_ids=search.last(),
            attention_mask=mask,
            position_ids=tensors.positions[..., :rows, :] + 1 + search.position,
            past_key_values=tensors.cache,
            use_cache=True,
        ).logits
        return logits[:, -1]

    def _mask(self, allowed: torch.Tensor) -> torch.Tensor:
        """Return (rows, 1, 1, length) for ``allowed`` (rows, length)."""
        return additive_mask(allowed, self._dtype)[:, None, None]


def misfit(model: Any) -> str:  # noqa: ANN401 - not typed
    """Return why a model's conversations cannot be continued here; empty: they can."""
    text = model.config.get_text_config(decoder=True)
    kinds = getattr(text, "layer_types", None)
    if kinds is None and getattr(text, "sliding_window", None):
        return "its configuration does not say which of its layers look at a window"
    if unknown := set(kinds or ()) - _LAYERS:
        return f"it has layers of the kind {', '.join(sorted(unknown))}"
    if "position_ids" not in inspect.signature(model.forward).parameters:
        return "it counts positions by itself"
    if any(getattr(module, "rope_type", "") in _ROPE for module in model.modules()):
        return "its positions depend on the length of the text"
    return ""
