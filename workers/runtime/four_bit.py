"""Weights of four bits on CUDA GPUs: a quarter of the memory, by bitsandbytes."""

from importlib.util import find_spec
from typing import Any

import torch
from transformers import BitsAndBytesConfig

from workers.model.family import LoadError

PACKAGES = ("bitsandbytes", "accelerate")
"""What transformers needs for it; none of them is among the requirements."""


def arguments(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Return the arguments with which transformers loads a model with weights of four bits.

    They are four-bit NormalFloats, which keep answers closer to those of the whole weights than
    four-bit floats do (https://arxiv.org/abs/2305.14314), and their scales are quantised as well.
    Embeddings, norms and the head stay as they are.

    Args:
        device: where the model is to be.
        dtype: in which it computes.

    Raises:
        LoadError: there is no CUDA GPU, or a package is missing.
    """
    if device.type != "cuda":
        raise LoadError(
            f"`quantization: 4bit` is for CUDA GPUs and cannot be had on {device}: leave it out of "
            "the row's parameters; on x86 processors weights are int8 then."
        )
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise LoadError(
            f"`quantization: 4bit` needs packages that are not installed: install "
            f"{' and '.join(f'`{name}`' for name in missing)}, or leave it out of the row's "
            "parameters."
        )
    config: Any = BitsAndBytesConfig
    quantisation = config(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": quantisation, "device_map": {"": device}, "dtype": dtype}
