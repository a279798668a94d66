"""Any model in an ONNX file that classifies images or embeds faces, with declared preprocessing.

The row says what PhotoPrism declares for such files in its own ``vision.yml`` (field ``ONNX`` and
those beside it; package ``internal/ai/onnx``, October 2026), so that its files can be served here.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from shared.messages import Instructions
from workers.model.device_errors import is_out_of_memory
from workers.model.family import Answer, LoadContext, LoadError, PartDamaged, PerImageModel, brief
from workers.runtime.onnx_inputs import InputParameters, OnnxInput
from workers.runtime.onnx_outputs import OnnxOutput, OutputParameters
from workers.runtime.onnx_session import OnnxSession
from workers.runtime.packages import package_folder


class OnnxParameters(InputParameters, OutputParameters):
    """What the file does not say of its input and its output, and where it is."""

    package_file: str = Field(
        "", description="package/file: a file that an installed Python package has, for `files`"
    )
    threads: int = Field(
        0,
        ge=0,
        description="CPU threads, unless VISION_TORCH_THREADS says; 0: its share of the cores",
    )


class Onnx(PerImageModel):
    """Labels, NSFW scores or embeddings of faces, as the row's ``tasks`` say.

    Prompts are ignored: it reads no text.
    """

    def __init__(self, context: LoadContext) -> None:
        """Load the file, and compare it with what the row declares.

        Raises:
            LoadError: the file cannot be used, or the row does not fit it.
        """
        own = OnnxParameters.model_validate(context.spec.parameters)
        file = _find_file(context, own)
        threads = context.torch_threads or own.threads or context.share_of_cores
        try:
            self._session = OnnxSession(file, context.device, threads, own.output)
        except PartDamaged as err:
            raise PartDamaged(str(err), context.spec.files) from err
        self._input = OnnxInput(file.name, self._session.input, own)
        self.preparation, self.prepare = self._input.preparation, self._input.pixels
        width = self._width(file.name)
        self._output = OnnxOutput(context.spec.tasks, width, own, context.folder)
        self.accelerator = self._session.accelerator

    @property
    def acceleration(self) -> str:
        """Why the model does not run on the GPU, if it should."""
        return self._session.acceleration

    def predict_images(
        self, images: Sequence[np.ndarray[Any, Any]], instructions: Instructions
    ) -> list[Answer]:
        """Answer for each image: (height, width, 3), uint8. Those of equal size go together."""
        by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for position, image in enumerate(images):
            by_size[image.shape].append(position)
        answers: list[Answer] = [{}] * len(images)
        for positions in by_size.values():
            rows = self._session.run(self._input.batch([images[n] for n in positions]))
            for position, row in zip(positions, rows, strict=True):
                answers[position] = self._output.answer(row.ravel(), instructions.tasks)
        return answers

    def _width(self, name: str) -> int:
        """Return how many values there are for an image, after a first run.

        Raises:
            LoadError: the model fails on an image of the declared size.
        """
        try:
            return math.prod(self._session.probe(self._input.shape))
        except RuntimeError as err:
            if is_out_of_memory(err):
                raise
            width, height = self._input.size
            raise LoadError(
                f"{name} fails on images of {width} x {height} pixels: correct the parameters of "
                f"its row, or export it again ({brief(err)})."
            ) from err


def _find_file(context: LoadContext, own: OnnxParameters) -> Path:
    """Return the model's file.

    Raises:
        LoadError: the row does not say which it is, or the package is missing.
    """
    names = [name for name in context.spec.files if name.endswith(".onnx")]
    if own.package_file and names:
        raise LoadError(
            f"{context.spec.name}: its row names an ONNX file in `files` and another one as "
            "`package_file`: leave one of them out."
        )
    if own.package_file:
        package, _, name = own.package_file.partition("/")
        return package_folder(package) / name
    if context.folder is None or len(names) != 1:
        raise LoadError(
            f"{context.spec.name}: name its ONNX file, and only one, in `files` of its row."
        )
    return context.folder / names[0]
