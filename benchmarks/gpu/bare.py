"""A model alone: images per second by batch size, with CUDA graphs and with transformers' loop."""

import gc
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch  # noqa: TID253 - not used by the service
import transformers  # noqa: TID253

from benchmarks.gpu.results import Results
from benchmarks.gpu.rows import Arguments, arguments, spec
from benchmarks.measuring import PHOTO, ensure_checkpoint, seconds
from shared.messages import Instructions
from shared.tasks import CAPTION
from workers.model.family import LoadContext, PreparedJob, load_model
from workers.runtime.device import pick_device

SIZES, SMALL_SIZES = (64, 16, 1, 8, 32, 4), (1, 3, 2)
"""Batch sizes, the most telling first."""
CELL_S = 0.6


def main() -> None:
    """Measure a model until the time is over."""
    given = arguments()
    until = given.until
    results, device = Results(given.out), pick_device("auto")
    ensure_checkpoint(given.model, given.checkpoints, str(device))
    folder = given.checkpoints / given.model
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    ways = {}
    for decoding in ("auto", "generate"):
        began = time.perf_counter()
        model = load_model(
            LoadContext(spec(given.model, decoding=decoding), folder, str(device), 0)
        )
        load_s = round(time.perf_counter() - began, 2)
        ways[decoding] = model
        owner = getattr(model, "_chat", model)
        dtype = getattr(getattr(owner, "_pretrained", None), "dtype", "?")
        results.add("bare", given.model, f"load {decoding}", load_s=load_s, dtype=dtype, **versions)
    gc.collect()  # as in a model process: to look through all modules stops a batch for 100 ms
    gc.freeze()
    auto = ways["auto"]
    image = auto.prepare(auto.preparation.run(PHOTO.read_bytes(), math.inf))
    for size in SMALL_SIZES if given.small else SIZES:
        if time.monotonic() > until:
            break
        measure(results, given, ways, [image] * size)


def measure(results: Results, given: Arguments, ways: dict[str, Any], images: list[Any]) -> None:
    """Measure one batch size in both ways, interleaved."""
    calls = {way: predictor(model, images) for way, model in ways.items()}
    texts = {way: [call() for _ in range(3)][-1] for way, call in calls.items()}
    times: dict[str, list[float]] = {way: [] for way in ways}
    began = time.perf_counter()
    peak = memory_peak(calls["auto"])
    while time.perf_counter() - began < 2 * CELL_S or len(times["auto"]) < 3:
        for way, call in calls.items():
            times[way].append(seconds(call))
    static, usual = (statistics.median(times[way]) for way in ("auto", "generate"))
    results.add(
        "bare",
        given.model,
        f"batch {len(images)}",
        images_per_s=len(images) / static,
        with_generate=len(images) / usual,
        ms=1000 * static,
        peak_mb=peak,
        equal_texts=sum(a == b for a, b in zip(*texts.values(), strict=True)) / len(images),
        decoding=getattr(ways["auto"], "acceleration", "?"),
    )


def predictor(model: Any, images: list[Any]) -> Callable[[], list[str]]:  # noqa: ANN401
    """Return a call that captions the images and returns once that is done."""
    jobs = [PreparedJob([image], Instructions(tasks=(CAPTION,))) for image in images]

    def call() -> list[str]:
        return [result[CAPTION].text for result in model.predict(jobs, len(images))]

    return call


def memory_peak(call: Callable[[], object]) -> int:
    """Return the megabytes that a call takes on the GPU beside what is there; 0 without one."""
    if not torch.cuda.is_available():
        return 0
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    return round((torch.cuda.max_memory_allocated() - before) / 1e6)


if __name__ == "__main__":
    main()
