"""What it costs a chat model to write by a grammar: milliseconds per token, with and without."""

import math
import statistics
import time
from typing import Any, NamedTuple

from benchmarks.gpu.results import Results
from benchmarks.gpu.rows import Arguments, arguments, spec
from benchmarks.measuring import PHOTO, ensure_checkpoint, seconds
from shared.messages import Instructions
from shared.options import Options
from shared.tasks import CAPTION, LABELS
from shared.tasks.registry import Task
from workers.llm.tasks import LLM_TASKS
from workers.model.family import LoadContext, PreparedJob, load_model
from workers.runtime.device import pick_device

SIZES, SMALL_SIZES = (32, 8, 1, 64), (1, 2)
"""Batch sizes, the most telling first."""
LENGTHS, SMALL_LENGTHS = (32, 160), (72, 96)
"""Most tokens of short and long texts; what they differ by is time for tokens. Labels need 20, and
61 with the tiny checkpoints, whose tokens are hardly more than bytes."""
ROUNDS = 5
WAYS = {"free": CAPTION, "constrained": LABELS}
"""Labels are written by their schema, captions without one; the prompt is the same."""


class Texts(NamedTuple):
    """Texts that a batch writes."""

    seconds: float
    steps: int
    """Tokens that were generated one after the other."""


def main() -> None:
    """Measure a chat model until the time is over."""
    given = arguments()
    until = given.until
    results, device = Results(given.out), pick_device("auto")
    ensure_checkpoint(given.model, given.checkpoints, str(device))
    model: Any = load_model(
        LoadContext(spec(given.model), given.checkpoints / given.model, str(device), 0)
    )
    image = model.prepare(model.preparation.run(PHOTO.read_bytes(), math.inf))
    for size in SMALL_SIZES if given.small else SIZES:
        if time.monotonic() > until:
            break
        measure(results, given, model, [image] * size)


def measure(results: Results, given: Arguments, model: Any, images: list[Any]) -> None:  # noqa: ANN401
    """Measure one batch size in both ways, interleaved."""
    lengths = SMALL_LENGTHS if given.small else LENGTHS
    cells: dict[tuple[str, int], list[Texts]] = {(w, n): [] for w in WAYS for n in lengths}
    for number in range(ROUNDS + 1):
        for (way, length), texts in cells.items():
            written = write(model, images, WAYS[way], length)
            if number:  # the first call of each is slow
                texts.append(written)
    per_token = {way: _ms_per_token(*(cells[way, length] for length in lengths)) for way in WAYS}
    results.add(
        "constrained",
        given.model,
        f"batch {len(images)}",
        free_ms=per_token["free"],
        constrained_ms=per_token["constrained"],
        slower_percent=100 * (per_token["constrained"] / per_token["free"] - 1),
    )


def write(model: Any, images: list[Any], task: Task, length: int) -> Texts:  # noqa: ANN401
    """Have a batch written, of at most so many tokens."""
    asked = Instructions(
        tasks=(task,), prompt=LLM_TASKS[LABELS].prompt, options=Options(num_predict=length)
    )
    jobs = [PreparedJob([image], asked) for image in images]
    before = model.steps
    taken = seconds(lambda: model.predict(jobs, len(images)))
    return Texts(taken, model.steps - before)


def _ms_per_token(short: list[Texts], long: list[Texts]) -> float:
    """Return the milliseconds of a token that long texts have in addition; NaN: there is none."""
    fewer, more = (statistics.median(text.steps for text in texts) for texts in (short, long))
    brief, slow = (statistics.median(text.seconds for text in texts) for texts in (short, long))
    return 1000 * (slow - brief) / (more - fewer) if more > fewer else math.nan


if __name__ == "__main__":
    main()
