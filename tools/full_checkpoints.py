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
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch  # noqa: TID253 - not used by the service
from transformers.utils import logging  # noqa: TID253

from tools.full_models import florence2, qwen3_vl, smolvlm2
from tools.tiny_checkpoints.build import blip, kosmos_2, vit_gpt2
from tools.tiny_checkpoints.checkpoint import Checkpoint, save
from tools.tiny_checkpoints.sizes import Size, Transformer

BASE, LARGE = Transformer(768, 12, 12), Transformer(1024, 24, 16)


class Published(NamedTuple):
    """Architecture, size and dtype of a published model."""

    build: Callable[[], Checkpoint]
    dtype: torch.dtype = torch.float32


VIT_GPT2 = Size(224, 16, BASE, BASE, 1024, pieces=50257)
BLIP = Size(384, 16, LARGE, BASE, 512, pieces=30523)
KOSMOS_2 = Size(224, 14, LARGE, Transformer(2048, 24, 32), 2048, pieces=64002)
INITIAL = 0.02
"""Standard deviation of transformers' random embeddings."""
CUT = 4
"""Layers of a model that is too large for a few cores, of each of its transformers."""
MODELS = {
    "vit-gpt2": Published(partial(vit_gpt2, VIT_GPT2)),
    "blip": Published(partial(blip, BLIP)),
    "kosmos-2": Published(partial(kosmos_2, KOSMOS_2), torch.bfloat16),
    "smolvlm2-256m": Published(partial(smolvlm2, "smolvlm2-256m")),
    "smolvlm2": Published(partial(smolvlm2, "smolvlm2")),
    "qwen3-vl-2b": Published(partial(qwen3_vl, "qwen3-vl-2b"), torch.bfloat16),
    "qwen3-vl-2b-cut": Published(partial(qwen3_vl, "qwen3-vl-2b", CUT), torch.bfloat16),
    "florence2-base": Published(partial(florence2, "florence2-base")),
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
        checkpoint = published.build()
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
        if model.config.model_type in ("smolvlm", "qwen3_vl"):
            # Or the states of a text would hardly differ, and all tokens would be the same.
            model.get_input_embeddings().weight.mul_(1 / INITIAL)
            model.lm_head.weight[no_words] = 0  # never the largest of the logits
            if model.config.tie_word_embeddings:
                # Of the latest token, the logit is now the smallest.
                model.model.get_decoder().norm.weight.neg_()
        elif model.config.model_type == "florence2":
            model.lm_head.weight[no_words] = 0
            model.model.language_model.decoder.layers[-1].final_layer_norm.weight.neg_()
        elif hasattr(model, "text_decoder"):  # BLIP's decoder does not read generation_config.json
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
