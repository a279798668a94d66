"""Generates texts for a batch of images in tensors of fixed shape, step by step."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import torch
from transformers import GenerationConfig

from workers.runtime.decoding.cache import DecoderCache
from workers.runtime.decoding.restrictions import Restrictions
from workers.runtime.decoding.search import BeamSearch, GreedySearch, Rules, Search
from workers.runtime.graphs import Runner

ROWS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""Numbers of images that are computed. A batch is padded to the next of them, so that few graphs
are recorded; beyond the last, to a multiple of it."""
FIRST_BATCHES = (8, 8, 1, 1)
"""Recorded while loading: the size that the engine begins with on accelerators, and a single image.
The larger one comes first, because graphs are lost when tensors grow; each is recorded when it runs
the second time. On an H100 these four take less than a second of the four that a model may take to
be ready. Other sizes cost 0.3 to 0.5 s each, so the dozen would take longer than all of loading;
they are recorded when they first come up."""
LENGTHS = 64
"""Texts get room for a multiple of so many tokens."""
STEPS_PER_CHECK = 4
"""After so many tokens it is asked whether all texts have ended, for which the host must wait."""
_HARMLESS = frozenset(
    {
        "architectures", "bos_token_id", "decoder_start_token_id", "do_sample", "early_stopping",
        "eos_token_id", "forced_bos_token_id", "forced_eos_token_id", "length_penalty",
        "max_length", "max_new_tokens", "no_repeat_ngram_size", "num_beams",
        "output_attentions", "output_hidden_states", "pad_token_id", "suppress_tokens",
        "temperature", "top_k", "top_p", "transformers_version", "use_cache",
        "_from_model_config",
    }
)  # fmt: skip
"""Settings of a checkpoint that are honoured here, or change nothing without sampling."""


class Decoder(Protocol):
    """How a family computes; both methods are :data:`~workers.runtime.graphs.Kernels`."""

    def begin(
        self, pixels: torch.Tensor, prompt: torch.Tensor, mask: torch.Tensor, cache: DecoderCache
    ) -> torch.Tensor:
        """Encode the images and read the prompt.

        Args:
            pixels: (images, 3, height, width).
            prompt: (rows, given), int64; as many rows per image as there are beams.
            mask: what may be attended to, (1, 1, given, length), 0 or the smallest number.
            cache: to be filled; ``cache.texts.positions`` says where the tokens are in the text.

        Returns:
            Logits of the next token, (rows, vocabulary).
        """

    def step(self, tokens: torch.Tensor, mask: torch.Tensor, cache: DecoderCache) -> torch.Tensor:
        """Read one token more.

        Args:
            tokens: (rows, 1), int64.
            mask: what may be attended to, (1, 1, 1, length).
            cache: as :meth:`begin` left it, with the tokens' position.

        Returns:
            Logits of the next token, (rows, vocabulary).
        """


class Generated(NamedTuple):
    """What was generated, on the CPU."""

    tokens: torch.Tensor
    """(images, new), int64; after its end a text is padded."""
    probabilities: torch.Tensor | None
    """Of each token when it was chosen, (images, new); not known with beams."""


class StaticDecoder:
    """Generates with a :class:`Decoder`; keeps the tensors of the largest batch so far."""

    def __init__(self, decoder: Decoder, rules: Rules, runner: Runner, dtype: torch.dtype) -> None:
        """Prepare; memory is taken with the first batch.

        Args:
            decoder: the family's.
            rules: what the checkpoint says about texts.
            runner: runs the steps.
            dtype: of the model.
        """
        self._decoder, self._rules, self._runner, self._dtype = decoder, rules, runner, dtype
        self._tensors: _Tensors | None = None

    @property
    def description(self) -> str:
        """For operators: whether the steps are recorded, and why not."""
        return self._runner.description

    @property
    def first_batches(self) -> Sequence[int]:
        """Sizes of batches that are worth running while the model loads."""
        return FIRST_BATCHES if self._runner.records else ()

    def generate(self, pixels: torch.Tensor, prompt: Sequence[int], new_tokens: int) -> Generated:
        """Generate one text per image.

        Args:
            pixels: (images, 3, height, width) on the model's device, in its dtype.
            prompt: the tokens with which each text begins, at least one.
            new_tokens: most tokens of an answer.
        """
        with whole_or_released(self._runner, self.release):
            return self._generate(pixels, prompt, new_tokens)

    def release(self) -> None:
        """Give up all tensors; the next batch allocates what it needs."""
        self._tensors = None
        self._runner.forget()

    def _generate(self, pixels: torch.Tensor, prompt: Sequence[int], new_tokens: int) -> Generated:
        images, given = len(pixels), len(prompt)
        padded = padded_rows(images)
        tensors = self._room_for(pixels, padded, given + new_tokens)
        tensors.pixels[:images].copy_(pixels)
        tensors.search.begin(torch.tensor(prompt, device=pixels.device), images, padded, new_tokens)
        self._runner.run(("begin", padded, given), lambda: self._begin(tensors, padded, given))
        for number in range(1, new_tokens):
            if number % STEPS_PER_CHECK == 0 and bool(tensors.search.done):
                break
            self._runner.run(("step", padded), lambda: self._step(tensors))
        return Generated(*tensors.search.result())

    def _room_for(self, pixels: torch.Tensor, padded: int, length: int) -> "_Tensors":
        tensors, shape = self._tensors, pixels.shape[1:]
        if tensors and tensors.fits(padded, length, shape):
            return tensors
        if tensors:
            padded, length = max(padded, tensors.images), max(length, tensors.length)
            del tensors
            self.release()
        self._tensors = _Tensors(self._rules, pixels, padded, -(-length // LENGTHS) * LENGTHS)
        return self._tensors

    def _begin(self, tensors: "_Tensors", padded: int, given: int) -> None:
        cache = tensors.cache
        cache.begin(padded)
        cache.texts.positions = tensors.places[:given]
        allowed = tensors.places <= tensors.places[:given, None]
        self._choose(
            tensors,
            self._decoder.begin(
                tensors.pixels[:padded], tensors.search.tokens(given), self._mask(allowed), cache
            ),
        )

    def _step(self, tensors: "_Tensors") -> None:
        search, cache = tensors.search, tensors.cache
        cache.texts.positions = search.position
        mask = self._mask(tensors.places[None] <= search.position)
        self._choose(tensors, self._decoder.step(search.last(), mask, cache))

    def _choose(self, tensors: "_Tensors", logits: torch.Tensor) -> None:
        sources = tensors.search.choose(logits)
        if sources is not None:
            tensors.cache.texts.reorder(sources)

    def _mask(self, allowed: torch.Tensor) -> torch.Tensor:
        """Return (1, 1, queries, length) for ``allowed`` (queries, length)."""
        return additive_mask(allowed, self._dtype)[None, None]


class _Tensors:
    """All tensors of fixed shape, for batches of any size up to ``images``."""

    def __init__(self, rules: Rules, pixels: torch.Tensor, images: int, length: int) -> None:
        self.images, self.length, self._shape = images, length, pixels.shape[1:]
        self.pixels = pixels.new_zeros((images, *self._shape))
        self.places = torch.arange(length, device=pixels.device)
        self.cache = DecoderCache(images, rules.beams, length)
        kind = BeamSearch if rules.beams > 1 else GreedySearch
        self.search: Search = kind(rules, images, length, pixels.device)

    def fits(self, images: int, length: int, shape: torch.Size) -> bool:
        return images <= self.images and length <= self.length and shape == self._shape


def additive_mask(allowed: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return what attention adds to scores: 0 where they are ``allowed``, else the least number."""
    mask = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
    return mask.masked_fill_(~allowed, torch.finfo(dtype).min)


@contextmanager
def whole_or_released(runner: Runner, release: Callable[[], None]) -> Iterator[None]:
    """Have work done on a runner's stream; have its tensors given up if it fails."""
    try:
        with runner.stream():
            yield
    except BaseException:
        # Whatever failed, the tensors may hold anything, and the memory may be needed.
        release()
        raise


def padded_rows(images: int) -> int:
    """Return how many images are computed for a batch of ``images``."""
    largest = ROWS[-1]
    return next((n for n in ROWS if n >= images), -(-images // largest) * largest)


def rules_of(config: GenerationConfig, beams: int) -> Rules | None:
    """Return a checkpoint's rules; ``None`` if it has some that only ``generate`` knows.

    Args:
        config: as ``generate`` would use it.
        beams: number of texts to choose from.
    """
    unknown = config.to_diff_dict().keys() - _HARMLESS
    ends = config.eos_token_id
    if unknown or ends is None or config.early_stopping not in (None, False, True):
        return None
    if isinstance(config.forced_eos_token_id, list):
        return None
    ends = tuple(ends) if isinstance(ends, list) else (ends,)
    pad = ends[0] if config.pad_token_id is None else config.pad_token_id
    penalty = 1.0 if config.length_penalty is None else float(config.length_penalty)
    restrictions = Restrictions(
        config.no_repeat_ngram_size or 0,
        config.forced_bos_token_id,
        config.forced_eos_token_id,
        tuple(config.suppress_tokens or ()),
    )
    return Rules(ends, pad, beams, penalty, bool(config.early_stopping), restrictions)
