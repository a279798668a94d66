"""A model without weights for tests of everything around models: it answers an image's colour.

Its ``parameters`` set how long a load and an image take, and values of the red channel on which it
crashes, hangs or raises.
"""

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from shared.images import decode_rgb
from shared.messages import Instructions
from shared.tasks import CAPTION, LABELS, NSFW
from shared.tasks.caption import Caption
from shared.tasks.labels import Label
from shared.tasks.nsfw import judge
from shared.units import MEGA
from workers.model.family import Answer, FamilyParameters, LoadContext, LoadError, PerImageModel
from workers.preparing.pixels import packed
from workers.preparing.preparation import Preparation, Prepared

Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""


class FakeParameters(FamilyParameters):
    """Delays, and faults by the value of the red channel; -1: never."""

    load_s: float = 0.0
    predict_s: float = Field(0.0, description="seconds per batch")
    image_s: float = Field(0.0, description="seconds per image, in addition")
    accelerator: str = Field("", description="name of the device that it pretends to be on")
    step_s: float = Field(0.0, description="seconds per word of the longest answer, in addition")
    slower: float = Field(
        0.0, description="fraction by which each image slows down all later batches"
    )
    leak_mb: float = Field(0.0, description="memory leaked per image")
    load_error: str = ""
    load_out_of_memory: bool = False
    crash_first_load: str = Field(
        "", description="path of a file: the load that creates it crashes, later ones do not"
    )
    crash_on_red: int = -1
    crash_in_prepare_on_red: int = -1
    hang_in_prepare_on_red: int = -1
    hang_on_red: int = -1
    hang_s: float = 3600.0
    raise_on_red: int = -1
    device_fault_on_red: int = -1
    crash_above: int = Field(0, description="largest batch that does not crash; 0: any")
    hang_above: int = Field(0, description="largest batch that does not hang; 0: any")
    out_of_memory_above: int = Field(0, description="largest batch that fits; 0: any")
    image_mb: float = Field(0.0, description="memory that each image of a batch needs")
    memory_mb_file: str = Field(
        "",
        description="path of a file: while it exists, a batch may need as much as is written in it",
    )
    out_of_memory_on_red: int = -1
    all_red_while: str = Field(
        "",
        description="path of a file: while it exists, every image that is predicted, but for the "
        "first of a process, misbehaves as one of the red that is written in it",
    )


class Fake(PerImageModel):
    """Answers the image's mean colour; the prompt is repeated in the caption."""

    def __init__(self, context: LoadContext) -> None:
        """Load for ``load_s``, or fail as the parameters say."""
        self._parameters = FakeParameters.model_validate(context.spec.parameters)
        self.accelerator = self._parameters.accelerator
        self._leaked: list[bytes] = []
        self._served = 0
        self.preparation = Preparation(
            target=f"{__name__}:as_one_pixel",
            parameters=self._parameters.model_dump(
                include={"crash_in_prepare_on_red", "hang_in_prepare_on_red", "hang_s"}
            ),
        )
        time.sleep(self._parameters.load_s)
        if self._parameters.load_error:
            raise LoadError(self._parameters.load_error)
        if self._parameters.load_out_of_memory:
            raise MemoryError
        mark = Path(self._parameters.crash_first_load or ".")
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGSEGV)

    def prepare(self, image: Prepared) -> Colour:
        """Return the colour of the image's only pixel."""
        red, green, blue = image.content
        return red, green, blue

    def predict_images(self, images: Sequence[Colour], instructions: Instructions) -> list[Answer]:
        """Answer from the colours, after the configured delay."""
        own = self._parameters
        answers = [self._answer(colour, instructions) for colour in images]
        steps = max(len(answer[CAPTION].text.split()) for answer in answers)
        self.steps += steps
        seconds = own.predict_s + own.image_s * len(images) + own.step_s * steps
        time.sleep(seconds * (1 + own.slower * self._served))
        if 0 < own.out_of_memory_above < len(images) or self._needs_too_much(len(images)):
            raise MemoryError
        if 0 < own.crash_above < len(images):
            os.kill(os.getpid(), signal.SIGSEGV)
        if 0 < own.hang_above < len(images):
            time.sleep(own.hang_s)
        for red, _, _ in images:
            self._misbehave(self._red_of_all() or red)
        self._served += len(images)
        if own.leak_mb:
            self._leaked.append(os.urandom(int(own.leak_mb * MEGA * len(images))))
        return answers

    def _needs_too_much(self, images: int) -> bool:
        limit_mb = _number_in(self._parameters.memory_mb_file)
        return limit_mb is not None and images * self._parameters.image_mb > limit_mb

    def _red_of_all(self) -> int:
        return int(_number_in(self._parameters.all_red_while) or 0) if self._served else 0

    def _misbehave(self, red: int) -> None:
        own = self._parameters
        if red == own.crash_on_red:
            os.kill(os.getpid(), signal.SIGSEGV)
        if red == own.hang_on_red:
            time.sleep(own.hang_s)
        if red == own.raise_on_red:
            msg = "configured by raise_on_red"
            raise ValueError(msg)
        if red == own.device_fault_on_red:
            msg = "CUDA error: an illegal memory access was encountered"
            raise RuntimeError(msg)
        if red == own.out_of_memory_on_red:
            raise MemoryError

    def _answer(self, colour: Colour, instructions: Instructions) -> Answer:
        text = f"rgb {colour[0]} {colour[1]} {colour[2]} {instructions.prompt}".strip()
        return {
            CAPTION: Caption(text=text),
            LABELS: (Label(name=text, confidence=0.5),),
            NSFW: judge(colour[0] / 255, 0.5),
        }


def _number_in(path: str) -> float | None:
    """Return the number that is written in a file; ``None``: there is no such file."""
    with contextlib.suppress(FileNotFoundError):
        return float(Path(path).read_text()) if path else None
    return None


def as_one_pixel(
    data: bytes,
    max_megapixels: float,
    crash_in_prepare_on_red: int,
    hang_in_prepare_on_red: int,
    hang_s: float,
) -> Prepared:
    """Resize an image to one pixel; crash or hang if that is as red as configured.

    Raises:
        VisionError: the image cannot be used.
    """
    prepared = packed(decode_rgb(data, max_megapixels).resize((1, 1)))
    if prepared.content[0] == crash_in_prepare_on_red:
        os.kill(os.getpid(), signal.SIGSEGV)
    if prepared.content[0] == hang_in_prepare_on_red:
        time.sleep(hang_s)
    return prepared
