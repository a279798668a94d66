"""What a run consists of: items, questions about them, answers and outcomes."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from vision.schemas import Model

ID_DIGITS = 32
"""Of the hash of a question, as request id: enough to be unique, and short in a log."""


class Unreadable(Exception):
    """The photo of an item cannot be had; the message is a sentence for the list of failures."""


class Item(Protocol):
    """One photo of a source."""

    @property
    def name(self) -> str:
        """What it is called in the journal: unique in its source, and the same in each run."""

    @property
    def shown(self) -> str:
        """What it is called for people."""

    def open_tasks(self, tasks: Sequence[str]) -> Collection[str]:
        """Return those of the tasks of which an answer could be used; this may take a while.

        Raises:
            Unreadable: the photo is not there.
        """

    def read(self) -> bytes:
        """Return the photo.

        Raises:
            Unreadable: it cannot be had.
        """

    def stamp(self) -> tuple[int, int]:
        """Return two numbers that change when the photo may have: size and time in nanoseconds.

        Raises:
            Unreadable: it is not there.
        """


@dataclass(frozen=True)
class Question:
    """What is asked about each photo: one task, of one model."""

    task: str
    model: str
    version: str
    prompt: str = ""
    system: str = ""
    """For models that chat: how to answer, whatever is asked."""

    @classmethod
    def of(cls, task: str, model: Model, prompt: str = "", system: str = "") -> "Question":
        """Ask a model of the catalogue."""
        return cls(task, model.name, model.version, prompt, system)

    def key(self, name: str, digest: str) -> str:
        """Return what identifies this question about this photo.

        Args:
            name: the item's.
            digest: of its content.
        """
        parts = [name, digest, self.task, self.model, self.version, self.prompt, self.system]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def body(self, image: str, key: str) -> dict[str, Any]:
        """Return the body of the request.

        Args:
            image: as base64.
            key: what identifies the question.
        """
        fields = {
            "id": key[:ID_DIGITS],
            "model": self.model,
            "version": self.version,
            "prompt": self.prompt,
            "system": self.system,
        }
        return {**{name: word for name, word in fields.items() if word}, "images": [image]}


@dataclass(frozen=True)
class Answer:
    """What a model answered to a question."""

    result: Any
    """The task's part of the reply's ``result``; ``None``: the model has nothing to say."""
    model: str
    version: str
    seconds: float
    """How long the request took."""
    at: float
    """When the answer came, in seconds since the epoch."""
    host: str = ""
    """The machine that answered; empty: it is not known."""


@dataclass
class Outcome:
    """What is known of one item after all questions were asked."""

    item: Item
    id: str = ""
    """Identifies photo and questions together: the same in each run that asks the same."""
    answers: dict[str, Answer] = field(default_factory=dict)
    """By task."""
    faults: dict[str, str] = field(default_factory=dict)
    """By task: why there is no answer, as a sentence."""
    asked: int = 0
    """Questions that were sent in this run; the other answers were in the journal."""
    is_unread: bool = False
    """Whether the photo could not be had, so that nothing was asked; no journal knows of that."""

    @property
    def is_complete(self) -> bool:
        """Whether there are questions that it is open for, and each is answered."""
        return bool(self.answers) and not self.faults


def digest_of(content: bytes) -> str:
    """Return what identifies the content of a photo."""
    return hashlib.sha256(content).hexdigest()


def id_of(keys: Mapping[str, str]) -> str:
    """Return what identifies several questions about one photo, given their keys by task."""
    return hashlib.sha256("".join(sorted(keys.values())).encode()).hexdigest()[:ID_DIGITS]
