"""What the first batches of each size cost, with cuDNN's attention and without it.

On a GPU the first batch of a size takes 0.3 to 0.5 s, which plans for cuDNN's attention kernels may
be the cause of: torch has one made for each shape. Each way gets a process of its own, because what
was planned stays.
"""

import math
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch  # noqa: TID253 - not used by the service

from benchmarks.gpu.bare import predictor
from benchmarks.gpu.results import Results
from benchmarks.gpu.rows import Arguments, arguments, spec
from benchmarks.measuring import PHOTO, ensure_checkpoint, seconds
from workers.model.family import LoadContext, load_model
from workers.model.warm_up import warm_up
from workers.runtime.device import pick_device

SIZES, SMALL_SIZES = (1, 8, 16, 32, 64), (1, 3)
BATCHES = 6
"""Of each size: the first plans, the second is recorded as a graph, the others are as all later."""


def main() -> None:
    """Measure both ways."""
    given = arguments()
    results = Results(given.out)
    ensure_checkpoint(given.model, given.checkpoints, str(pick_device("auto")))
    for cudnn in (True, False):
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            for cell, figures in pool.submit(first_batches, given, cudnn=cudnn).result():
                way = "on" if cudnn else "off"
                results.add("first", given.model, f"{cell}, cuDNN's attention {way}", **figures)


def first_batches(given: Arguments, *, cudnn: bool) -> list[tuple[str, dict[str, float]]]:
    """Load a model into this process, and return the milliseconds of its first batches."""
    torch.backends.cuda.enable_cudnn_sdp(cudnn)
    row, folder = spec(given.model), given.checkpoints / given.model
    model = load_model(LoadContext(row, folder, str(pick_device("auto")), 0))
    cells = [("warm-up", {"first_ms": 1000 * seconds(lambda: warm_up(model, row, folder))})]
    image = model.prepare(model.preparation.run(PHOTO.read_bytes(), math.inf))
    for size in SMALL_SIZES if given.small else SIZES:
        call = predictor(model, [image] * size)
        first, second, *later = (1000 * seconds(call) for _ in range(BATCHES))
        figures = {"first_ms": first, "second_ms": second, "later_ms": min(later)}
        cells.append((f"batch {size}", figures))
    return cells


if __name__ == "__main__":
    main()
