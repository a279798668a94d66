"""Dynamic int8 quantisation on the CPU: weights are quantised at load, activations at run time.

torch's ``quantize_dynamic`` is deprecated, uses one scale for all weights of a layer, and skips
GPT-2's ``Conv1D``. This module calls the kernels below it directly.
"""

import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

_INT8_MAX = 127
"""Quantised values are from -127 to 127."""


def can_quantise() -> bool:
    """Return whether this machine has the int8 kernels, which were faster than float32 (x86)."""
    return "x86" in torch.backends.quantized.supported_engines


def quantise(model: nn.Module) -> None:
    """Replace all linear layers of a model by quantised ones, in place."""
    torch.backends.quantized.engine = "x86"  # uses fbgemm or oneDNN, by processor
    found = [
        (parent, name, layer)
        for parent in model.modules()
        for name, layer in parent.named_children()
        if type(layer) in (nn.Linear, Conv1D)
    ]
    with warnings.catch_warnings(), ThreadPoolExecutor(torch.get_num_threads()) as pool:
        # torch deprecates quantised tensors; the pinned version still has them:
        # https://github.com/pytorch/pytorch/issues/184982
        warnings.filterwarnings("ignore", r"torch\.quantize_per_tensor", UserWarning)
        quantised = pool.map(Int8Linear.of, [layer for _, _, layer in found])
        for (parent, name, _), layer in zip(found, quantised, strict=True):
            setattr(parent, name, layer)


class Int8Linear(nn.Module):
    """A linear layer with int8 weights, one scale per output, and float32 inputs and outputs.

    Inputs get one scale per row, which costs 5 to 10 % of the time: in trained models a few tokens
    have far larger values than the others, which would lose most precision under a common scale.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        """Quantise ``weight`` (outputs, inputs); ``bias`` (outputs,) stays float32."""
        super().__init__()
        weight = weight.detach().float().contiguous()
        self.out_features, self.in_features = weight.shape
        self.weight = torch.empty(0)
        """Has the dtype of inputs, for which models ask (Gemma 4); it is no parameter."""
        scales = _largest(weight, 1) / _INT8_MAX
        whole = torch.quantize_per_channel(
            weight, scales, torch.zeros(len(scales), dtype=torch.int64), 0, torch.qint8
        )
        self._packed = torch.ops.quantized.linear_prepack(whole, None)
        self._bias = (
            None if bias is None else nn.Parameter(bias.detach().float(), requires_grad=False)
        )

    @classmethod
    def of(cls, layer: nn.Linear | Conv1D) -> Self:
        """Quantise a layer; a ``Conv1D`` has its weights transposed."""
        weight = layer.weight.t() if isinstance(layer, Conv1D) else layer.weight
        return cls(weight, layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer: (..., inputs) → (..., outputs), float32."""
        scales = _largest(x, -1, keepdim=True)
        # 7-bit activations: with 8, sums of two products overflow on processors without VNNI.
        y: torch.Tensor = torch.ops.quantized.linear_dynamic(
            x / scales, self._packed, reduce_range=True
        )
        return y.mul_(scales) if self._bias is None else torch.addcmul(self._bias, y, scales)


def _largest(x: torch.Tensor, dim: int, *, keepdim: bool = False) -> torch.Tensor:
    """Return the largest absolute values along ``dim``, at least tiny; faster than ``abs``."""
    low, high = x.amin(dim, keepdim), x.amax(dim, keepdim)
    return torch.maximum(high, low.neg_()).clamp_min_(torch.finfo().tiny)
