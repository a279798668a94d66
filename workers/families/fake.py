"""A stand-in model for tests of everything around models: answers from the image's colour.

No weights. ``parameters`` are knobs: how long a load and an image take, and pixel values (the red
channel of a plain image) on which it crashes, hangs or raises.
"""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from pydantic import Field

from shared.messages import Instructions
from shared.tasks import CAPTION, LABELS, NSFW
from shared.tasks.caption import Caption
from shared.tasks.labels import Label
from shared.tasks.nsfw import Nsfw, NsfwStatus
from workers.model.family import Answer, FamilyParameters, LoadContext, LoadError, PerImageModel

Colour = tuple[int, int, int]


class FakeParameters(FamilyParameters):
    """Knobs."""

    load_s: float = 0.0
    predict_s: float = Field(0.0, description="time of a batch, whatever its size")
    image_s: float = Field(0.0, description="time of each image beside that")
    slower: float = Field(0.0, description="share by which each image slows all that follow")
    leak_mb: float = Field(0.0, description="memory that each image leaves behind")
    load_error: str = ""
    load_out_of_memory: bool = False
    crash_first_load: str = Field("", description="file that the load which crashes leaves behind")
    crash_on_red: int = -1
    crash_in_prepare_on_red: int = -1
    hang_on_red: int = -1
    hang_s: float = 3600.0
    raise_on_red: int = -1
    device_fault_on_red: int = -1
    out_of_memory_above: int = Field(0, description="largest batch that fits; 0: any")
    out_of_memory_on_red: int = -1


class Fake(PerImageModel):
    """Says which colour the image's first pixel has; a prompt is repeated in the caption."""

    def __init__(self, context: LoadContext) -> None:
        """Take ``load_s`` to load, or fail with ``load_error``."""
        self._knobs = FakeParameters.model_validate(context.spec.parameters)
        self._leaked: list[bytes] = []
        self._served = 0
        time.sleep(self._knobs.load_s)
        if self._knobs.load_error:
            raise LoadError(self._knobs.load_error)
        if self._knobs.load_out_of_memory:
            raise MemoryError
        mark = Path(self._knobs.crash_first_load or ".")
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGSEGV)

    def prepare(self, image: Image.Image) -> Colour:
        """Return the colour of the image, were it one pixel."""
        red, green, blue = image.resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
        if red == self._knobs.crash_in_prepare_on_red:
            os.kill(os.getpid(), signal.SIGSEGV)
        return int(red), int(green), int(blue)

    def predict_images(self, images: Sequence[Colour], instructions: Instructions) -> list[Answer]:
        """Answer from the colours, after the time that the knobs say."""
        knobs = self._knobs
        time.sleep(
            (knobs.predict_s + knobs.image_s * len(images)) * (1 + knobs.slower * self._served)
        )
        if 0 < knobs.out_of_memory_above < len(images):
            raise MemoryError
        for red, _, _ in images:
            self._misbehave(red)
        self._served += len(images)
        if knobs.leak_mb:
            self._leaked.append(os.urandom(int(knobs.leak_mb * 1_000_000 * len(images))))
        return [self._answer(colour, instructions) for colour in images]

    def _misbehave(self, red: int) -> None:
        knobs = self._knobs
        if red == knobs.crash_on_red:
            os.kill(os.getpid(), signal.SIGSEGV)
        if red == knobs.hang_on_red:
            time.sleep(knobs.hang_s)
        if red == knobs.raise_on_red:
            msg = "the knob says so"
            raise ValueError(msg)
        if red == knobs.device_fault_on_red:
            msg = "CUDA error: an illegal memory access was encountered"
            raise RuntimeError(msg)
        if red == knobs.out_of_memory_on_red:
            raise MemoryError

    def _answer(self, colour: Colour, instructions: Instructions) -> Answer:
        text = f"rgb {colour[0]} {colour[1]} {colour[2]} {instructions.prompt}".strip()
        score = colour[0] / 255
        status = NsfwStatus.UNSAFE if score >= 0.5 else NsfwStatus.SAFE
        return {
            CAPTION: Caption(text=text),
            LABELS: (Label(name=text, confidence=0.5),),
            NSFW: Nsfw(status=status, score=score, threshold=0.5),
        }
