"""int8 on the CPU: linear layers with 8-bit weights, and activations quantised as they come.

torch's own ``quantize_dynamic`` is deprecated, scales all weights of a layer alike, and leaves out
GPT-2's ``Conv1D``. The kernels underneath are used here directly.
"""

import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

_LARGEST = 127
"""Of the signed 8-bit numbers that are used."""


def can_quantise() -> bool:
    """Say whether this machine has kernels for it that measured faster than float32."""
    return "x86" in torch.backends.quantized.supported_engines


def quantise(model: nn.Module) -> None:
    """Replace the linear layers of a model."""
    torch.backends.quantized.engine = "x86"  # of fbgemm and oneDNN, the faster on this processor
    found = [
        (parent, name, layer)
        for parent in model.modules()
        for name, layer in parent.named_children()
        if type(layer) in (nn.Linear, Conv1D)
    ]
    with warnings.catch_warnings(), ThreadPoolExecutor(torch.get_num_threads()) as pool:
        # Whole quantised tensors are on their way out of torch; its pinned version still has them.
        # https://github.com/pytorch/pytorch/issues/184982
        warnings.filterwarnings("ignore", r"torch\.quantize_per_tensor", UserWarning)
        quantised = pool.map(Int8Linear.of, [layer for _, _, layer in found])
        for (parent, name, _), layer in zip(found, quantised, strict=True):
            setattr(parent, name, layer)


class Int8Linear(nn.Module):
    """A linear layer whose weights have one scale per output.

    Inputs are scaled row by row, which costs 5 to 10 % of the time: trained models give a few
    tokens values far beyond the others', of which little would be left under one common scale.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        """Quantise weights (outputs, inputs)."""
        super().__init__()
        weight = weight.detach().float().contiguous()
        scales = _largest(weight, 1) / _LARGEST
        whole = torch.quantize_per_channel(
            weight, scales, torch.zeros(len(scales), dtype=torch.int64), 0, torch.qint8
        )
        self._packed = torch.ops.quantized.linear_prepack(whole, None)
        self._bias = (
            None if bias is None else nn.Parameter(bias.detach().float(), requires_grad=False)
        )

    @classmethod
    def of(cls, layer: nn.Linear | Conv1D) -> Self:
        """Quantise a layer; a ``Conv1D`` has its weights the other way round."""
        weight = layer.weight.t() if isinstance(layer, Conv1D) else layer.weight
        return cls(weight, layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., inputs) → (..., outputs)."""
        scales = _largest(x, -1, keepdim=True)
        # 7 bits of x: with 8, sums of two products overflow on processors without VNNI.
        y: torch.Tensor = torch.ops.quantized.linear_dynamic(
            x / scales, self._packed, reduce_range=True
        )
        return y.mul_(scales) if self._bias is None else torch.addcmul(self._bias, y, scales)


def _largest(x: torch.Tensor, dim: int, *, keepdim: bool = False) -> torch.Tensor:
    """Return the largest absolute values, never 0; faster than by ``abs``."""
    low, high = x.amin(dim, keepdim), x.amax(dim, keepdim)
    return torch.maximum(high, low.neg_()).clamp_min_(torch.finfo().tiny)
