"""Continues conversations about images in tensors of fixed shape, step by step.

Prompts, with their images, are read by ``generate`` itself, whatever the model's type does with
them. All further tokens are steps that can be recorded as CUDA graphs.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from transformers import StoppingCriteriaList

from workers.runtime.decoding.cache import ConversationCache
from workers.runtime.decoding.decoder import STEPS_PER_CHECK, additive_mask, padded_rows
from workers.runtime.decoding.search import GreedySearch, Rules
from workers.runtime.grammar.processor import allowed_tokens
from workers.runtime.grammar.steering import Steering
from workers.runtime.graphs import Runner

LENGTH = 256
"""Shortest room for a conversation and its answer, in tokens. The next ones have half as many more,
twice as many, three times, four times …, so that few graphs are recorded."""
NEW_TOKENS = 512
"""Answers get room for a multiple of so many tokens."""
_LAYERS = {"full_attention", "sliding_attention"}
"""Kinds of layers that remember keys and values by place, and nothing else."""
_ROPE = ("dynamic", "longrope")
"""Kinds of rotary positions that look at the values of positions."""


class ConversationDecoder:
    """Writes the most probable answers; keeps the tensors of the largest batch so far."""

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
        self._tensors: _Tensors | None = None

    @property
    def description(self) -> str:
        """For operators: whether the steps are recorded, and why not."""
        return self._runner.description

    def generate(
        self,
        inputs: Mapping[str, torch.Tensor],
        new_tokens: int,
        stops: StoppingCriteriaList,
        steering: Steering | None,
    ) -> torch.Tensor:
        """Return the new tokens of each row, (rows, new), on the CPU, padded after its end.

        Args:
            inputs: of ``generate``; shorter prompts are padded on the left.
            new_tokens: most tokens of an answer.
            stops: further reasons to end a text; they see new tokens only.
            steering: chooses the tokens of rows with a grammar; ``None``: no row has one.
        """
        try:
            with self._runner.stream():
                return self._generate(inputs, new_tokens, stops, steering)
        except BaseException:
            # Whatever failed, the tensors may hold anything, and the memory may be needed.
            self.release()
            raise

    def release(self) -> None:
        """Give up all tensors; the next batch allocates what it needs."""
        self._tensors = None
        self._runner.forget()

    def _generate(
        self,
        inputs: Mapping[str, torch.Tensor],
        new_tokens: int,
        stops: StoppingCriteriaList,
        steering: Steering | None,
    ) -> torch.Tensor:
        rows, given = inputs["input_ids"].shape
        shape = padded_rows(rows), padded_length(given + new_tokens)
        tensors = self._room_for(*shape, new_tokens)
        tensors.cache.begin(*shape)
        logits, places = self._read(inputs, tensors.cache)
        tensors.begin(shape, inputs["attention_mask"], places, logits)
        tensors.search.begin(inputs["input_ids"][0, :0], rows, shape[0], new_tokens)
        texts = _Texts(rows, self._rules, stops)
        if steering is None:
            self._write_freely(tensors, shape, texts, new_tokens)
        else:
            self._write_steered(tensors, shape, texts, new_tokens, steering)
        return texts.whole(tensors.search.result()[0])

    def _write_freely(
        self, tensors: "_Tensors", shape: tuple[int, int], texts: "_Texts", new_tokens: int
    ) -> None:
        search, begun = tensors.search, tensors.logits[: shape[0]]
        self._runner.run(("begin", shape[0]), lambda: search.choose(begun))
        fetched: Callable[[], torch.Tensor] | None = None
        for count in range(2, new_tokens + 1):
            self._runner.run(("step", *shape), lambda: search.choose(self._scores(tensors, *shape)))
            # What was fetched is looked at while the GPU is busy with the next token.
            if fetched and self._have_ended(texts, search, fetched()):
                break
            fetched = None
            if count % STEPS_PER_CHECK == 0:
                fetched = self._runner.fetch(search.tokens(count)[: texts.rows])

    def _write_steered(
        self,
        tensors: "_Tensors",
        shape: tuple[int, int],
        texts: "_Texts",
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

    def _read_last(self, tensors: "_Tensors", shape: tuple[int, int]) -> None:
        """Read the last token of each row; may be repeated where some were corrected."""
        self._runner.run(
            ("read", *shape),
            lambda: tensors.keep_logits(self._scores(tensors, *shape)),
        )

    def _have_ended(self, texts: "_Texts", search: GreedySearch, tokens: torch.Tensor) -> bool:
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
                do_sample=False,
                num_beams=1,
                return_dict_in_generate=True,
                output_logits=True,
            )
        finally:
            handle.remove()
        return begun.logits[0], seen[0]

    def _room_for(self, rows: int, length: int, new_tokens: int) -> "_Tensors":
        tensors = self._tensors
        if tensors and tensors.fits(rows, length, new_tokens):
            return tensors
        room = rows, rows * length, -(-new_tokens // NEW_TOKENS) * NEW_TOKENS
        if tensors:
            most = tensors.room
            room = max(room[0], most[0]), max(room[1], most[1]), max(room[2], most[2])
            del tensors
            self.release()
        self._tensors = _Tensors(self._rules, *room, self._model.device)
        return self._tensors

    def _scores(self, tensors: "_Tensors", rows: int, length: int) -> torch.Tensor:
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


class _Tensors:
    """All tensors of fixed shape, for batches of any size up to what there is room for."""

    def __init__(
        self, rules: Rules, rows: int, tokens: int, new_tokens: int, device: torch.device
    ) -> None:
        """Allocate for ``rows``, with so many ``tokens`` of them all, and of each new one."""
        self.room = rows, tokens, new_tokens
        self.cache = ConversationCache(tokens)
        self.search = GreedySearch(rules, rows, new_tokens, device)
        self.places = torch.arange(tokens, device=device)
        self.given = torch.zeros(1, dtype=torch.int64, device=device)
        """Length of the prompts."""
        self._known = torch.zeros(tokens, dtype=torch.bool, device=device)
        # Those whose shape depends on the type are allocated by the first batch.
        self.positions = torch.zeros(0, dtype=torch.int64, device=device)
        """Of the last given token, (…, rows, 1)."""
        self.logits = torch.zeros(0, device=device)
        """Of the next token, (rows, vocabulary), float32."""
        self.scores = torch.zeros(0, device=device)
        """Where tokens may not follow minus infinity, else logits, for the token before."""
        self._steered = self._masks = torch.zeros(0, device=device)

    def fits(self, rows: int, length: int, new_tokens: int) -> bool:
        most_rows, tokens, new = self.room
        return rows <= most_rows and rows * length <= tokens and new_tokens <= new

    def known(self, rows: int, length: int) -> torch.Tensor:
        """Return (rows, length): where tokens are, or will be, and no padding."""
        return self._known[: rows * length].view(rows, length)

    def begin(
        self,
        shape: tuple[int, int],
        mask: torch.Tensor,
        positions: torch.Tensor,
        logits: torch.Tensor,
    ) -> None:
        """Begin a batch.

        Args:
            shape: rows and length to compute.
            mask: of the prompts, (rows, given).
            positions: of their last tokens, (…, rows, 1).
            logits: of the first new tokens, (rows, vocabulary).
        """
        rows, given = mask.shape
        if not len(self.logits):
            most = self.room[0]
            self.positions = positions.new_zeros((*positions.shape[:-2], most, 1))
            self.logits = logits.new_zeros((most, logits.shape[1]))
        self.given.fill_(given)
        known = self.known(*shape)
        known.fill_(1)
        known[:rows, :given] = mask.bool()
        self.positions[..., :rows, :] = positions
        self.keep_logits(logits)

    def keep_logits(self, logits: torch.Tensor) -> None:
        """Keep logits of the next token, (rows, vocabulary)."""
        self.logits[: len(logits)].copy_(logits)

    def begin_steering(self, steered: torch.Tensor) -> None:
        """Begin a batch in which some rows are steered, (rows,), bool."""
        if not len(self.scores):
            self.scores = torch.zeros_like(self.logits)
            self._steered = torch.zeros_like(self.logits[:, :1], dtype=torch.bool)
        self._steered[: len(steered), 0] = steered.to(self._steered.device)

    def allow(self, masks: torch.Tensor) -> None:
        """Have masks (rows, words), int32, a bit for each token, say what may follow."""
        if not len(self._masks):
            shape = self.room[0], masks.shape[1]
            self._masks = torch.zeros(shape, dtype=masks.dtype, device=self.places.device)
        self._masks[: len(masks)].copy_(masks, non_blocking=True)

    def choose_allowed(self, rows: int) -> None:
        """Choose tokens that the masks allow, in rows that are steered, and any in others."""
        allowed, steered = allowed_tokens(self._masks[:rows]), self._steered[:rows]
        scores = self.scores[:rows].copy_(self.logits[:rows])
        known = min(allowed.shape[1], scores.shape[1])
        scores[:, :known].masked_fill_(~allowed[:, :known] & steered, -torch.inf)
        scores[:, known:].masked_fill_(steered, -torch.inf)
        self.search.choose(scores)


class _Texts:
    """What the host knows of a batch while it is written."""

    def __init__(self, rows: int, rules: Rules, stops: StoppingCriteriaList) -> None:
        self.rows, self._stops = rows, stops
        self._ends, self._pad = torch.tensor(rules.ends), rules.pad
        self._looked = 0
        self._length = torch.zeros(rows, dtype=torch.int64)
        """Of each text that has ended; 0: it has not."""

    @property
    def ended(self) -> torch.Tensor:
        """Which texts must not go on, (rows,), bool."""
        return self._length > 0

    def has_ended(self, row: int) -> bool:
        """Return whether a text must not go on."""
        return bool(self._length[row])

    def look(self, tokens: torch.Tensor) -> None:
        """Look at tokens (rows, so far) that were not there the last time."""
        for count in range(self._looked + 1, tokens.shape[1] + 1):
            some: Any = tokens[:, :count]
            ended = torch.isin(some[:, -1], self._ends) | self._stops(some, None)
            self._length[ended & (self._length == 0)] = count
        self._looked = max(self._looked, tokens.shape[1])

    def whole(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return tokens (rows, new) without what was written after a text's end."""
        self.look(tokens)
        lengths = torch.where(self.ended, self._length, tokens.shape[1])
        places = torch.arange(int(lengths.max()))
        return tokens[:, : len(places)].masked_fill(places >= lengths[:, None], self._pad)


def padded_length(tokens: int) -> int:
    """Return how many tokens there is room for where ``tokens`` are needed."""
    room = LENGTH
    while room < tokens:
        if room * 3 // 2 >= tokens:
            return room * 3 // 2
        room *= 2
    return room


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
