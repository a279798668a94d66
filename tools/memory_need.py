"""Compute how much memory models need on a GPU, from their configurations alone.

Usage:
    python -m tools.memory_need [MODEL...]

Prints the table of ``docs/models.md``, "Memory of chat models". Nothing is allocated: the model
runs on tensors without contents, and what would be alive at once is counted. Of chat models that is
the prompt's text; the vision tower, which runs before it, is estimated: see :func:`vision_bytes`.
"""

# transformers leaves many functions without types
# mypy: allow-untyped-calls

import argparse
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch  # noqa: TID253 - not used by the service
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: TID253
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: TID253
from torch.utils._pytree import tree_leaves  # noqa: TID253
from transformers import DynamicCache  # noqa: TID253

from shared.units import GIGA
from tools.configurations import MODELS, config_of, model_of

BATCH = 8
"""Images in a batch, to begin with; on a GPU batches grow as long as they fit."""
WORDS = 100
"""Tokens of a prompt of several sentences, without the image."""
ANSWER = 128
"""Tokens of an answer of several sentences."""
CONTEXT = 0.6 * GIGA
"""What CUDA itself takes in each process."""


class Need(NamedTuple):
    """Bytes that a model needs in bfloat16."""

    weights: int
    batch: int
    """Most bytes beside the weights: activations, keys and values of :data:`BATCH` images."""

    @property
    def total(self) -> float:
        """All of it, with CUDA's own."""
        return self.weights + self.batch + CONTEXT


class Alive(TorchDispatchMode):
    """Counts the bytes of tensors that are made while it is active, as long as they live."""

    def __init__(self, others: Iterable[torch.Tensor] = ()) -> None:
        """Begin with nothing; views of ``others`` do not count."""
        super().__init__()
        self.now = self.peak = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in others}  # noqa: SLF001

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,  # noqa: ANN401 - torch's
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: Any) -> None:  # noqa: ANN401
        key, size = storage._cdata, storage.nbytes()  # noqa: SLF001 - storages compare by it
        if key not in self._known:
            self._known.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def need(name: str, batch: int = BATCH) -> Need:
    """Return what a model needs for a batch of images.

    Args:
        name: of the row.
        batch: number of images.
    """
    # Some types look at values while they are made, which tensors of the former kind have none of.
    without_contents = torch.device("meta") if MODELS[name].side else FakeTensorMode()
    with without_contents, torch.inference_mode():
        model = model_of(name, dtype=torch.bfloat16).eval()
        if getattr(model, "text_model", None) is not None:
            model.text_model = None  # it has read the vocabulary before
        weights = sum(weight.nbytes for weight in model.parameters())
        with Alive([*model.parameters(), *model.buffers()]) as alive:
            growth = _run(model, name, batch)
    seen = 0 if MODELS[name].side else vision_bytes(name, batch)
    return Need(weights, max(alive.peak + growth, seen))


def _run(model: Any, name: str, batch: int) -> int:  # noqa: ANN401 - not typed
    """Run a model once; return how much its keys and values grow while it writes an answer."""
    published = MODELS[name]
    prompt = published.image_tokens + WORDS
    if not published.side:
        ids = torch.zeros(batch, prompt, dtype=torch.long)
        cache = DynamicCache(config=model.config.get_text_config(decoder=True))
        model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return cache_bytes(cache) * ANSWER // prompt
    pixels = torch.zeros(batch, 3, published.side, published.side, dtype=torch.bfloat16)
    model.get_image_features(pixel_values=pixels)
    if published.image_tokens:  # encoder and decoder of the text, as at the end of an answer
        width = model.config.text_config.d_model
        embedded = torch.zeros(batch, prompt, width, dtype=torch.bfloat16)
        written = torch.zeros(batch, ANSWER, dtype=torch.long)
        model.model.language_model(
            inputs_embeds=embedded,
            decoder_input_ids=written,
            # As made of a mask that has values, which would be looked at.
            decoder_attention_mask=embedded.new_zeros(batch, 1, ANSWER, ANSWER),
            use_cache=True,
        )
    return 0


def cache_bytes(cache: Any) -> int:  # noqa: ANN401 - not typed
    """Return the size of the keys and values in a cache, which grows with the text."""
    tensors = (getattr(layer, kind, None) for layer in cache.layers for kind in ("keys", "values"))
    return sum(tensor.nbytes for tensor in tensors if isinstance(tensor, torch.Tensor))


def vision_bytes(name: str, batch: int) -> int:
    """Return what a layer of the vision tower has at once: its input, output and inner states."""
    vision = config_of(name).vision_config
    widths = 3 * vision.hidden_size + 2 * vision.intermediate_size
    return int(batch * MODELS[name].patches * widths * torch.bfloat16.itemsize)


def table(names: Iterable[str]) -> Iterator[str]:
    """Return the lines of the table, one by one."""
    yield "| model | weights | batch of 1 | batch of 8 | in all |"
    yield "| --- | --- | --- | --- | --- |"
    for name in names:
        one, eight = need(name, 1), need(name)
        cells = (one.weights, one.batch, eight.batch, eight.total)
        yield f"| `{name}` | {' | '.join(f'{cell / GIGA:.2f}' for cell in cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="*", default=list(MODELS))
    for line in table(parser.parse_args().models):
        print(line, flush=True)


if __name__ == "__main__":
    main()
