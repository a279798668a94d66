"""CUDA graphs: the kernels of a function, recorded once and launched together from then on.

One step of a captioner is some 500 kernels of a few microseconds each. Launching them one by one
from Python takes four times as long as the GPU works on them (measured on an H100 with Kosmos-2);
a graph is a single launch.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

import structlog
import torch

from workers.model.device_errors import is_out_of_memory
from workers.model.family import brief

log = structlog.get_logger(__name__)

Kernels = Callable[[], None]
"""A function that only reads and writes tensors which outlive it, and decides nothing by their
values: each call runs the same kernels on the same memory."""


class Runner(Protocol):
    """Runs such functions."""

    description: str
    """For operators: how they are run, and why not as graphs."""
    records: bool
    """Whether the first calls of a function cost more than later ones."""

    def run(self, key: Hashable, kernels: Kernels) -> None:
        """Call ``kernels``, or do what it did when it was recorded under the same key."""

    def fetch(self, tensor: torch.Tensor) -> Callable[[], torch.Tensor]:
        """Begin to copy a tensor as it is after what runs now.

        Returns:
            Waits for the copy, which is on the CPU, but for nothing that was begun later.
        """

    def stream(self) -> AbstractContextManager[None]:
        """Return the context in which to make, use and give up the tensors of the functions."""

    def forget(self) -> None:
        """Forget what was recorded, because its tensors have been given up."""


class EagerRunner:
    """Calls the functions. For devices that are not CUDA GPUs."""

    description = "none"
    records = False

    def run(self, key: Hashable, kernels: Kernels) -> None:
        """Call ``kernels``."""
        del key
        kernels()

    def fetch(self, tensor: torch.Tensor) -> Callable[[], torch.Tensor]:
        """Copy a tensor."""
        copy = tensor.clone()
        return lambda: copy

    def stream(self) -> AbstractContextManager[None]:
        """Return a context that changes nothing."""
        return nullcontext()

    def forget(self) -> None:
        """Do nothing."""


class GraphRunner:
    """Calls a function the first time, records it the second time, and replays it from then on.

    The first call lets libraries choose their kernels and allocate what they keep, which must not
    happen while a graph is recorded. A function that cannot be recorded is called each time.
    """

    records = True

    def __init__(self, device: torch.device) -> None:
        """Prepare to record on a CUDA device; no memory is taken before the first graph."""
        self.description = "CUDA graphs"
        self._stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool: Any = None  # torch's own type is private
        self._graphs: dict[Hashable, torch.cuda.CUDAGraph | None] = {}
        self._failed = False

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Have all work done on one stream, the one that graphs are recorded on."""
        outer = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(outer)
        with torch.cuda.stream(self._stream):
            yield
        outer.wait_stream(self._stream)

    def run(self, key: Hashable, kernels: Kernels) -> None:
        """Call, record or replay ``kernels``."""
        if self._failed or key not in self._graphs:
            self._graphs[key] = None
            kernels()
            return
        graph = self._graphs[key] or self._record(kernels)
        if graph is None:
            kernels()
            return
        self._graphs[key] = graph
        graph.replay()

    def fetch(self, tensor: torch.Tensor) -> Callable[[], torch.Tensor]:
        """Begin to copy a tensor, and return what waits for the copy."""
        copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        copy.copy_(tensor, non_blocking=True)
        done: torch.cuda.Event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        done.record(torch.cuda.current_stream(tensor.device))

        def wait() -> torch.Tensor:
            done.synchronize()
            return copy

        return wait

    def forget(self) -> None:
        """Drop all graphs, and give back the memory that they and their tensors had.

        torch would keep it, but larger tensors do not fit in it, and it keeps that of graphs for
        other graphs of the same pool. With each larger batch, a process would hold more.
        """
        self._graphs.clear()
        self._pool = None
        torch.cuda.empty_cache()

    def _record(self, kernels: Kernels) -> torch.cuda.CUDAGraph | None:
        graph = torch.cuda.CUDAGraph()
        # Graphs run one after the other and leave nothing behind in this memory, so they share it.
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        torch.cuda.synchronize(self._stream.device)
        try:
            # `torch.cuda.graph` would also collect garbage, which takes a third of a second.
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                kernels()
            finally:
                graph.capture_end()
        except Exception as err:  # torch raises many types, and each graph is dispensable
            if is_out_of_memory(err):
                raise
            self._failed, self.description = True, f"none, recording failed: {brief(err)}"
            log.warning("no CUDA graphs", cause=brief(err), exc_info=True)
            return None
        return graph


def runner_for(device: torch.device) -> Runner:
    """Return what suits a device."""
    return GraphRunner(device) if device.type == "cuda" else EagerRunner()
