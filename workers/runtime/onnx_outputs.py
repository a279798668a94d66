"""From the output of an ONNX model for one image to labels, an NSFW verdict or an embedding."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, NonNegativeInt

from shared.tasks import FACE, LABELS, NSFW
from shared.tasks.face import Embeddings
from shared.tasks.labels import Label
from shared.tasks.nsfw import DEFAULT_THRESHOLD, Nsfw, judge
from shared.tasks.registry import Task
from workers.model.family import LoadError
from workers.runtime.classes import (
    NSFW_CLASSES,
    Labeller,
    LabelParameters,
    NsfwParameters,
    nsfw_from_classes,
)
from workers.runtime.imagenet import imagenet_classes, readable_classes

Reader = Callable[[np.ndarray[Any, Any]], object]
"""Turns the output for an image, a vector of float64, into the answer to a task."""
_MEANINGS = "`unsafe` (the number of the unsafe class), `neutral` or `nsfw`"


class OutputParameters(NsfwParameters):
    """What the output of a model means."""

    output: str = Field("", description="its name; default: the first one of the file")
    activation: Literal["softmax", "sigmoid", "none"] = Field(
        "softmax", description="what makes probabilities of it; none: the file does it already"
    )
    labels_file: str = Field(
        "", description="one of `files`: a class per line; default for 1000 classes: ImageNet's"
    )
    labels: LabelParameters = LabelParameters()
    categories: Mapping[str, tuple[str, ...]] = Field(
        {}, description="class → its categories, from specific to general; the first is its kind"
    )
    unsafe: NonNegativeInt | None = Field(
        None, description="class whose probability is the NSFW score; the first one is 0"
    )
    neutral: NonNegativeInt | None = Field(
        None, description="class for all that is safe: the NSFW score is 1 less its probability"
    )
    nsfw: Mapping[str | int, str] = Field(
        {}, description="class, or its number → Neutral, Drawing, Sexy, Hentai, Porn"
    )
    threshold: float = Field(
        DEFAULT_THRESHOLD, ge=0, le=1, description="NSFW scores from here on are unsafe"
    )


class OnnxOutput:
    """Reads the answers to a row's tasks from a model's output."""

    def __init__(
        self, tasks: Sequence[Task], width: int, declared: OutputParameters, folder: Path | None
    ) -> None:
        """Compare what is declared with the output.

        Args:
            tasks: those of the row.
            width: how many values the output has for an image.
            declared: by the row.
            folder: where the file with labels is.

        Raises:
            LoadError: the output is not as declared, or something is not declared.
        """
        self._width, self._declared = width, declared
        self._names = _read_names(declared.labels_file, width, folder)
        makers: dict[Task, Callable[[], Reader]] = {
            LABELS: self._labels, NSFW: self._nsfw, FACE: lambda: embed
        }  # fmt: skip
        self._readers = {task: makers[task]() for task in tasks}

    def answer(self, values: np.ndarray[Any, Any], tasks: Sequence[Task]) -> dict[Task, object]:
        """Return the answers for an image; none if the model did not give numbers.

        Args:
            values: (width,), float32.
            tasks: which of the row's.
        """
        exact = values.astype(np.float64)
        if not np.isfinite(exact).all():
            return {}
        return {task: self._readers[task](exact) for task in tasks}

    def _labels(self) -> Reader:
        if not self._names and self._width != len(imagenet_classes()):
            raise LoadError(
                f"The model has {self._width} classes: name a file with their names, one a line, "
                "as `labels_file` in the parameters of its row, and in `files`."
            )
        classes = readable_classes(self._names, self._declared.categories)
        labeller = Labeller(classes or imagenet_classes(), self._declared.labels)

        def labels(values: np.ndarray[Any, Any]) -> tuple[Label, ...]:
            return labeller.labels(self._probabilities(values).tolist())

        return labels

    def _nsfw(self) -> Reader:
        own = self._declared
        if (own.unsafe is not None) + (own.neutral is not None) + bool(own.nsfw) != 1:
            raise LoadError(f"The parameters of an NSFW row need one of {_MEANINGS}.")
        if own.nsfw:
            return self._nsfw_by_classes()
        index = own.unsafe if own.neutral is None else own.neutral
        if index is None or index >= self._width:
            raise LoadError(f"There is no class {index}: the model has {self._width}, from 0 on.")

        def verdict(values: np.ndarray[Any, Any]) -> Nsfw:
            probability = float(self._probabilities(values)[index])
            score = probability if own.neutral is None else 1 - probability
            return judge(score, own.threshold, rescale=own.rescale)

        return verdict

    def _nsfw_by_classes(self) -> Reader:
        own = self._declared
        names = self._names or [str(number) for number in range(self._width)]
        meaning = {str(name): known for name, known in own.nsfw.items()}
        if set(meaning) != set(names) or not set(meaning.values()) <= NSFW_CLASSES:
            raise LoadError(
                f"`nsfw` in the row's parameters must map each of {sorted(names)} to one of "
                f"{sorted(NSFW_CLASSES)}."
            )

        def verdict(values: np.ndarray[Any, Any]) -> Nsfw:
            probabilities = self._probabilities(values).tolist()
            return nsfw_from_classes(
                probabilities, names, meaning, own.threshold, rescale=own.rescale
            )

        return verdict

    def _probabilities(self, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if self._declared.activation == "softmax":
            powers = np.exp(values - values.max())
            return np.asarray(powers / powers.sum())
        if self._declared.activation == "sigmoid":
            return np.asarray(0.5 * (1 + np.tanh(values / 2)))  # which does not overflow
        return values.clip(0, 1)


def embed(values: np.ndarray[Any, Any]) -> Embeddings:
    """Return a face's embedding, of length 1; none if it points nowhere."""
    length = float(np.linalg.norm(values))
    return (tuple((values / length).tolist()),) if length else ()


def _read_names(file: str, width: int, folder: Path | None) -> list[str]:
    """Return the names of the classes from a file; no file: none.

    Raises:
        LoadError: it is not there, is no text, or has another number of names.
    """
    if not file:
        return []
    if folder is None:
        raise LoadError(f"Name {file} in `files` of the row, too.")
    try:
        text = (folder / file).read_text("utf-8-sig")
    except (OSError, ValueError) as err:
        raise LoadError(f"{folder / file} cannot be read: {err}. Name it in `files`.") from err
    names = [line.strip() for line in text.rstrip().splitlines()]
    if len(names) != width:
        raise LoadError(
            f"{file} names {len(names)} classes, but the model has {width}: put the file there "
            "that belongs to the model."
        )
    return names
