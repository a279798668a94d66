"""The measured models: rows of models.yaml with short texts, and checkpoints of their size."""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from shared.model_spec import ModelSpec
from shared.settings import ROOT
from tests.chat_checkpoints import make_checkpoint
from tests.stack import TESTS

CAPTIONERS = ("kosmos-2", "blip", "vit-gpt2")
CHAT_MODELS = {"smolvlm2": "smolvlm", "qwen3-vl-2b": "qwen3_vl"}
"""Rows of chat models, with their types."""
TOKENS = 16
"""Length of all texts."""


@dataclass(frozen=True)
class Arguments:
    """What a stage is told."""

    model: str
    checkpoints: Path
    out: Path
    until: float
    """When to end, in ``time.monotonic()``."""
    small: bool


def arguments() -> Arguments:
    """Parse a stage's command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--checkpoints", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit-s", type=float, required=True)
    parser.add_argument("--small", action="store_true")
    given = vars(parser.parse_args())
    # To import torch and transformers takes ten seconds on some machines.
    used_s = time.time() - psutil.Process().create_time()
    until = time.monotonic() - used_s + given.pop("limit_s")
    return Arguments(**given, until=until)


def checkpoint_folder(scratch: Path, *, small: bool) -> Path:
    """Return the folder of all checkpoints; small ones are put there, others when they are used."""
    if small:
        for name in CAPTIONERS:
            (scratch / name).symlink_to(TESTS / "checkpoints" / name)
        for name, model_type in CHAT_MODELS.items():
            make_checkpoint(model_type, scratch / name)
    return scratch


def row(name: str, **changes: object) -> dict[str, Any]:
    """Return a row of models.yaml with a checkpoint of ours and short texts.

    Args:
        name: of the row.
        changes: to its parameters.
    """
    rows = yaml.safe_load((ROOT / "models.yaml").read_text())["models"]
    found: dict[str, Any] = next(row for row in rows if row["name"] == name)
    parameters = {**found.get("parameters", {}), "max_new_tokens": TOKENS, **changes}
    return {**found, "folder": name, "aliases": [], "parameters": parameters}


def spec(name: str, **changes: object) -> ModelSpec:
    """Return :func:`row` as a row of the catalogue."""
    return ModelSpec.model_validate(row(name, **changes))
