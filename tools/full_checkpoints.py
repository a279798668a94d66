"""Create checkpoints of published size with random weights, for benchmarks without a download.

Usage:
    python -m tools.full_checkpoints --out DIR --model vit-gpt2

The folder DIR/<model> is loaded like the published repository. Generated texts are random, and
always as long as the caller allows.
"""

# transformers leaves many functions without types
# mypy: allow-untyped-calls

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch  # noqa: TID253 - not used by the service
from transformers.utils import logging  # noqa: TID253

from tools.tiny_checkpoints.build import blip, kosmos_2, vit_gpt2
from tools.tiny_checkpoints.checkpoint import Checkpoint, save
from tools.tiny_checkpoints.sizes import Size, Transformer

BASE, LARGE = Transformer(768, 12, 12), Transformer(1024, 24, 16)


class Published(NamedTuple):
    """Architecture, size and dtype of a published model."""

    build: Callable[[Size], Checkpoint]
    size: Size
    dtype: torch.dtype = torch.float32


MODELS = {
    "vit-gpt2": Published(vit_gpt2, Size(224, 16, BASE, BASE, 1024, pieces=50257)),
    "blip": Published(blip, Size(384, 16, LARGE, BASE, 512, pieces=30523)),
    "kosmos-2": Published(
        kosmos_2,
        Size(224, 14, LARGE, Transformer(2048, 24, 32), 2048, pieces=64002),
        torch.bfloat16,
    ),
}


def main() -> None:
    """Create the checkpoint named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--model", choices=MODELS, required=True)
    parser.add_argument("--device", default="cpu", help="where to create it: a GPU is faster")
    arguments = parser.parse_args()
    logging.disable_progress_bar()
    began = time.perf_counter()
    with torch.device(arguments.device):
        checkpoint = make(arguments.model)
    model: Any = checkpoint.model
    model.to("cpu")
    save(checkpoint, arguments.out / arguments.model, halve=False)
    millions = sum(weight.numel() for weight in checkpoint.model.parameters()) / 1e6
    seconds = time.perf_counter() - began
    print(f"{arguments.model}: {millions:.1f} M parameters in {seconds:.0f} s")


def make(name: str) -> Checkpoint:
    """Return the checkpoint of a model."""
    published = MODELS[name]
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(published.dtype)
    try:
        checkpoint = published.build(published.size)
    finally:
        torch.set_default_dtype(before)
    never_end(checkpoint)
    return checkpoint


def never_end(checkpoint: Checkpoint) -> None:
    """Keep the model from ending a text, so that all are equally long, and from repeating itself.

    Workers refuse a caption that is nothing but repetition.
    """
    model: Any = checkpoint.model
    tokenizer: Any = checkpoint.tokenizer
    no_words = sorted({*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()})
    with torch.no_grad():
        if hasattr(model, "text_decoder"):  # BLIP's decoder does not read generation_config.json
            model.text_decoder.cls.predictions.bias[no_words] = -1e4
        elif hasattr(model, "text_model"):  # nor does that of Kosmos-2
            decoder = model.text_model.model
            decoder.embed_tokens.weight[no_words] = 0  # never the largest of the logits
            decoder.layer_norm.weight.neg_()  # of the latest token, the logit is now the smallest
        else:
            decoder = model.decoder.transformer
            decoder.wte.weight[no_words] = 0
            decoder.ln_f.weight.neg_()


if __name__ == "__main__":
    main()
