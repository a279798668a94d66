"""A stand-in for CUDA graphs on the CPU: records operations, and repeats them on their memory."""

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

_ATEN = torch.ops.aten
NOT_RECORDED = (
    _ATEN._local_scalar_dense.default, _ATEN.nonzero.default, _ATEN.masked_select.default,
    _ATEN.lift_fresh.default,
)  # fmt: skip
"""What waits for the value of a tensor, or copies what Python knows to the GPU."""


class Tape(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records each operation of torch, with its arguments and its result."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        assert func not in NOT_RECORDED, f"a graph cannot have {func}"
        indices = pytree.tree_leaves(args[1:]) if func is _ATEN.index.Tensor else ()
        assert not any(index.dtype == torch.bool for index in indices), "a graph has one shape"
        result = func(*args, **(kwargs or {}))
        self._calls.append((func, args, kwargs or {}, result))
        return result

    def replay(self) -> None:
        """Repeat all operations; each result goes where it went when it was recorded."""
        for func, args, kwargs, result in self._calls:
            # Some operations, such as `reshape`, are views in some cases only.
            if func.is_view and _memory(result) <= _memory((args, kwargs)):
                continue  # the same memory still
            again = pytree.tree_leaves(func(*args, **kwargs))
            for old, new in zip(pytree.tree_leaves(result), again, strict=True):
                if isinstance(old, torch.Tensor) and old is not new:
                    old.copy_(new)


def _memory(values: Any) -> set[int]:
    """Return where the memory of all tensors in some values begins."""
    tensors = (leaf for leaf in pytree.tree_leaves(values) if isinstance(leaf, torch.Tensor))
    return {tensor.untyped_storage().data_ptr() for tensor in tensors}


class TapeRunner:
    """Calls a function the first time, records it the second time, and replays it from then on."""

    description = "tape"
    records = True

    def __init__(self) -> None:
        self._tapes: dict[Hashable, Tape | None] = {}
        self.replays = 0

    def run(self, key: Hashable, kernels: Callable[[], None]) -> None:
        if key not in self._tapes:
            self._tapes[key] = None
            kernels()
        elif tape := self._tapes[key]:
            tape.replay()
            self.replays += 1
        else:
            with Tape() as tape:
                kernels()
            self._tapes[key] = tape

    def fetch(self, tensor: torch.Tensor) -> Callable[[], torch.Tensor]:
        copy = tensor.clone()
        return lambda: copy

    def stream(self) -> AbstractContextManager[None]:
        return nullcontext()

    def forget(self) -> None:
        self._tapes.clear()
