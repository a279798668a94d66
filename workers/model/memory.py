"""Memory of a model process, on the current device of torch; works without torch, too."""

import gc
import resource
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from pydantic import BaseModel

from shared.allocator import resident_bytes

MIB = 2**20
CGROUP = Path("/sys/fs/cgroup")
"""Where the kernel shows a container its own limits: of cgroup v2 here, of v1 below ``memory``."""


class Memory(BaseModel):
    """Bytes that this process uses and bytes free, both on the model's device."""

    used: int = 0
    peak: int = 0
    """Most bytes that were needed at a time: on a GPU since the last report, else ever."""
    free: int = 0
    limit: int = 0
    """Bytes that there are for all processes: of the GPU, else of the container or the host."""
    resident: int = 0
    """Bytes of host memory in use; the same as ``used`` on the CPU."""


HOST_S = 1.0
"""How long the host's free memory is remembered. To ask for it takes half a millisecond, which each
batch would wait for."""
_free_before: int | None = None
"""Bytes that were free on the GPU before a library that is not torch began to use it."""


def watch_gpu() -> None:
    """Have :func:`measure` count what a library that is not torch takes of the GPU from now on.

    Nobody tells how much that is, so it is what has become less on the GPU, including what other
    processes have taken meanwhile.
    """
    global _free_before  # noqa: PLW0603 - of this process, as the GPU's memory is
    _free_before = gpu_free()


def measure() -> Memory:
    """Return the memory of the GPU if this process uses one, else of the host."""
    cuda, resident = torch_cuda(), resident_bytes()
    if cuda is not None:
        free, limit = cuda.mem_get_info()
        used, peak = cuda.memory_reserved(), cuda.max_memory_allocated()
        cuda.reset_peak_memory_stats()
        if _free_before is not None:
            used = peak = max(0, _free_before - free)
        return Memory(used=used, peak=peak, free=free, limit=limit, resident=resident)
    free, limit = _host_memory(int(time.monotonic() / HOST_S))
    # The kernel's unit is KiB, and it brings the number up to date only now and then.
    peak = max(resident, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return Memory(used=resident, peak=peak, free=free, limit=limit, resident=resident)


@lru_cache(maxsize=1)
def _host_memory(_: int) -> tuple[int, int]:
    """Return the free bytes and all bytes of host or container, remembered for a moment."""
    host, container = psutil.virtual_memory(), container_memory()
    return min(host.available, container.free), min(host.total, container.limit)


class ContainerMemory(NamedTuple):
    """Bytes that a container may use, and those of them that are left; huge without a limit."""

    limit: int = sys.maxsize
    free: int = sys.maxsize


def container_memory(cgroup: Path = CGROUP) -> ContainerMemory:
    """Return the memory of this container."""
    for folder, limit, usage, cache in (
        (cgroup, "memory.max", "memory.current", "inactive_file"),
        (
            cgroup / "memory",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "total_inactive_file",
        ),
    ):
        try:
            most = int((folder / limit).read_text())
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            # The kernel reclaims the inactive file cache before it kills anything.
            free = most - int((folder / usage).read_text()) + int(stat[cache])
            return ContainerMemory(most, max(0, free))
        except (OSError, ValueError, KeyError):  # no such hierarchy, or "max": no limit
            continue
    return ContainerMemory()


def accelerator() -> str:
    """Return the name of the GPU that this process uses; empty: none."""
    torch = sys.modules.get("torch")
    if torch is None:
        return ""
    for kind in (torch.cuda, torch.xpu):
        if kind.is_available() and kind.is_initialized():
            return str(kind.get_device_name())
    return ""


def release() -> None:
    """Release all memory that can be released, after it ran out."""
    gc.collect()
    cuda = torch_cuda()
    if cuda is not None:
        cuda.empty_cache()


def gpu_free() -> int | None:
    """Return the bytes that are free on the GPU; ``None``: this process uses none, or it fails."""
    cuda = torch_cuda()
    try:
        return None if cuda is None else int(cuda.mem_get_info()[0])
    except RuntimeError:
        return None


def torch_cuda() -> Any:  # noqa: ANN401 - torch is not imported here
    """Return ``torch.cuda`` if this process uses a GPU by it; else ``None``."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return None
    return torch.cuda
