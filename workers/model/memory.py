"""Memory of a model process, and errors that mean it ran out; works without torch, too."""

import gc
import sys
from pathlib import Path
from typing import Any

import psutil
from pydantic import BaseModel

CGROUP = Path("/sys/fs/cgroup")
"""Where the kernel shows a container its own limits: of cgroup v2 here, of v1 below ``memory``."""


class Memory(BaseModel):
    """Bytes that this process uses and bytes free, both on the model's device."""

    used: int = 0
    free: int = 0
    resident: int = 0
    """Bytes of host memory in use; the same as ``used`` on the CPU."""


def measure() -> Memory:
    """Return the memory of the GPU if this process uses one, else of the host."""
    cuda, resident = _cuda(), psutil.Process().memory_info().rss
    if cuda is not None:
        free = cuda.mem_get_info()[0]
        return Memory(used=cuda.memory_reserved(), free=free, resident=resident)
    free = min(psutil.virtual_memory().available, container_free())
    return Memory(used=resident, free=free, resident=resident)


def container_free(cgroup: Path = CGROUP) -> int:
    """Return the bytes left below this container's limit; ``sys.maxsize`` when it has none."""
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
            return max(0, most - int((folder / usage).read_text()) + int(stat[cache]))
        except (OSError, ValueError, KeyError):  # no such hierarchy, or "max": no limit
            continue
    return sys.maxsize


def release() -> None:
    """Release all memory that can be released, after it ran out."""
    gc.collect()
    cuda = _cuda()
    if cuda is not None:
        cuda.empty_cache()


def is_out_of_memory(err: BaseException) -> bool:
    """Return whether an error means that memory ran out."""
    return isinstance(err, MemoryError) or type(err).__name__ == "OutOfMemoryError"


def is_device_fault(err: BaseException) -> bool:
    """Return whether an error leaves the GPU unusable for this process (a "sticky" CUDA error)."""
    return type(err).__name__ == "AcceleratorError" or "CUDA error" in str(err)


def _cuda() -> Any:  # noqa: ANN401 - torch.cuda, or None
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return None
    return torch.cuda
