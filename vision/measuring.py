"""Photos for measurements, and what is measured with them."""

import io
import time
from collections.abc import Iterable
from typing import NamedTuple

from PIL import Image, ImageFilter
from rich.table import Table

from vision.runner.run import Runner
from vision.runner.work import Item

SIZE = (720, 480)
"""What PhotoPrism sends for captions: its thumbnail ``fit_720``."""
QUALITY = 85
HOUR_S = 3600


class Measured(NamedTuple):
    """How fast a model did a task."""

    model: str
    task: str
    photos: int
    seconds: float
    failed: int

    @classmethod
    def of(
        cls, model: str, task: str, runner: Runner, items: Iterable[Item], most_s: float
    ) -> "Measured":
        """Run over items, for some seconds at most.

        Raises:
            GaveUp: the service answers nobody.
        """
        began = time.monotonic()
        photos = failed = 0
        for outcome in runner.run(items):
            photos, failed = photos + outcome.is_complete, failed + bool(outcome.faults)
            if time.monotonic() - began > most_s:
                runner.stop()
                for late in runner.finish():
                    photos, failed = photos + late.is_complete, failed + bool(late.faults)
                break
        return cls(model, task, photos, time.monotonic() - began, failed)

    @property
    def per_hour(self) -> float:
        """Photos per hour."""
        return self.photos / self.seconds * HOUR_S if self.seconds else 0.0


def photo(seed: int) -> bytes:
    """Return a JPEG with the size and, in bytes, the weight of a photo; another for each seed."""
    noise = Image.effect_noise((SIZE[0] // 8, SIZE[1] // 8), 60 + seed % 40)
    bands = (noise, noise.rotate(180), noise.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    picture = Image.merge("RGB", bands).resize(SIZE, Image.Resampling.BICUBIC)
    grain = Image.effect_noise(SIZE, 12).convert("RGB")
    blended = Image.blend(picture.filter(ImageFilter.GaussianBlur(1)), grain, 0.2)
    buffer = io.BytesIO()
    blended.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def rate_table(found: Iterable[Measured]) -> Table:
    """Return a row for each measurement."""
    table = Table("Model", "Task", box=None, header_style="bold", pad_edge=False)
    for name in ("Photos", "Seconds", "Photos per hour", "Failed"):
        table.add_column(name, justify="right")
    for measured in found:
        table.add_row(
            measured.model,
            measured.task,
            f"{measured.photos:,}",
            f"{measured.seconds:.1f}",
            f"{measured.per_hour:,.0f}",
            str(measured.failed or ""),
        )
    return table
