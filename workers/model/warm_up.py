"""The first calls of a loaded model, which show that it can answer before requests come."""

import io
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog
from PIL import Image, ImageDraw

from shared.families import FAMILIES
from shared.messages import Instructions, Result
from shared.model_spec import ModelSpec
from shared.tasks import CAPTION
from shared.tasks.registry import Task
from workers.model import memory
from workers.model.checkpoint import SETTINGS, TOKENIZER_TEXTS, absent_files, present_files
from workers.model.device_errors import is_device_fault, is_out_of_memory
from workers.model.family import (
    LoadError,
    PartDamaged,
    PerImageModel,
    PreparedJob,
    VisionModel,
    brief,
)

SIDE_PX = 224
FIRST_BATCHES_S = 1.0
"""No further batch is begun then: how soon a model is ready counts more than its first batches."""

log = structlog.get_logger(__name__)


def warm_up(model: VisionModel, spec: ModelSpec, folder: Path | None) -> None:
    """Have the model answer a test picture; one that writes captions must find words for one.

    The first call also pages weights in and compiles kernels: no request should wait for that. A
    healthy captioner says something of the first picture, as of any. It gets further ones before
    it is called damaged, because an empty caption of a grey square is not impossible.

    Raises:
        PartDamaged: the model raises, or has no words for any of the pictures.
    """
    must_write = FAMILIES[spec.family].writes_text and CAPTION in spec.tasks
    tasks = (CAPTION,) if must_write else spec.tasks
    for picture in simple_pictures():
        result = _answer(model, spec, folder, picture, tasks)
        caption = result.root.get(CAPTION)
        if not must_write or (caption is not None and any(map(str.isalpha, caption.text))):
            run_first_batches(model, spec)
            return
    raise PartDamaged(
        f"{spec.name} answered the test pictures with no words: its tokenizer or its weights are "
        f"damaged. Delete {folder} to have them fetched again, or put intact files there.",
        absent_files(folder) if folder else (),
    )


def run_first_batches(model: VisionModel, spec: ModelSpec) -> None:
    """Run batches of the sizes that cost more the first times, for a second or two at most.

    Whether so many images fit in memory is not decided here: batches find their size while serving.
    """
    if not isinstance(model, PerImageModel) or not model.first_batches:
        return
    image = _input(model, next(simple_pictures()))
    began_at = time.monotonic()
    for size in model.first_batches:
        if time.monotonic() - began_at > FIRST_BATCHES_S or not _fits(model, spec, [image] * size):
            break


def _fits(model: PerImageModel, spec: ModelSpec, images: list[Any]) -> bool:
    """Run a batch; return whether there was memory for it."""
    try:
        model.predict_images(images, Instructions(tasks=spec.tasks))
    except Exception as err:
        if not is_out_of_memory(err):
            raise
        log.warning("no memory for a batch ahead of requests", images=len(images))
    else:
        return True
    memory.release()  # only here: the exception's traceback kept the batch alive
    return False


def _input(model: VisionModel, picture: Image.Image) -> Any:  # noqa: ANN401 - the family's own
    file = io.BytesIO()
    picture.save(file, "PNG")
    return model.prepare(model.preparation.run(file.getvalue(), math.inf))


def simple_pictures() -> Iterator[Image.Image]:
    """Make pictures of ``SIDE_PX``: grey, a red disc on grey, a sun over a meadow."""
    yield Image.new("RGB", (SIDE_PX, SIDE_PX), "grey")
    middle, edge = SIDE_PX // 2, SIDE_PX // 4
    disc = Image.new("RGB", (SIDE_PX, SIDE_PX), "grey")
    ImageDraw.Draw(disc).ellipse((edge, edge, 3 * edge, 3 * edge), "red")
    yield disc
    meadow = Image.new("RGB", (SIDE_PX, SIDE_PX), "skyblue")
    draw = ImageDraw.Draw(meadow)
    draw.rectangle((0, middle, SIDE_PX, SIDE_PX), "green")
    draw.ellipse((middle, edge // 2, middle + edge, edge // 2 + edge), "yellow")
    yield meadow


def _answer(
    model: VisionModel,
    spec: ModelSpec,
    folder: Path | None,
    picture: Image.Image,
    tasks: tuple[Task, ...],
) -> Result:
    try:
        job = PreparedJob([_input(model, picture)], Instructions(tasks=tasks))
        (result,) = model.predict([job], max_images=1)
    except LoadError:
        raise
    except Exception as err:
        if is_out_of_memory(err) or is_device_fault(err) or folder is None or spec.files:
            raise
        absent = absent_files(folder)
        raise PartDamaged(
            f"{spec.name} was loaded, but failed on a test picture ({brief(err)}). A file in "
            f"{folder} is damaged, missing or of another model, or its row's parameters are wrong. "
            "There are "
            f"{', '.join(present_files(folder, SETTINGS + TOKENIZER_TEXTS))}; not there are "
            f"{', '.join(absent)}.",
            absent,
        ) from err
    return result
