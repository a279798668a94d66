"""The catalogue of models: rows of ``models.yaml``, and how a request's fields select rows."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, NamedTuple, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.errors import NotOffered
from shared.families import OLLAMA
from shared.faults import faults_of
from shared.model_spec import ModelSpec
from shared.tasks.registry import Task, find_task

ANY_VERSION = ("", "latest")
"""Versions that match any: PhotoPrism sends ``latest`` when none is configured."""
_OLLAMA_NAME = re.compile(r"[\w@-][\w@./-]{0,200}")


class Assignment(NamedTuple):
    """The tasks of a request that one model answers."""

    spec: ModelSpec
    tasks: tuple[Task, ...]


class TaskDefault(BaseModel):
    """Which models answer a task when the request names none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prefer: tuple[str, ...]
    stands_in_for: tuple[str, ...] = ()


class Catalog(BaseModel):
    """All rows, and the default of each task.

    ``defaults.<task>.stands_in_for`` lists the models built into PhotoPrism: configured with
    ``PHOTOPRISM_VISION_URI``, it sends their names and means the default model of the task.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: Annotated[tuple[ModelSpec, ...], Field(min_length=1)]
    defaults: dict[Task, TaskDefault] = {}
    passes_on: bool = Field(
        default=False, description="names that are not in the catalogue are models of Ollama"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        seen: dict[str, str] = {}
        for spec in self.models:
            for word in {normalise(word) for word in (spec.name, *spec.aliases)}:
                if word in seen:
                    msg = f"{spec.name} and {seen[word]} are both called {word!r}"
                    raise ValueError(msg)
                seen[word] = spec.name
        return self

    @model_validator(mode="after")
    def _possible_defaults(self) -> Self:
        names = {normalise(word) for spec in self.models for word in (spec.name, *spec.aliases)}
        for task, default in self.defaults.items():
            for name in default.prefer:
                if task not in self.get(name).tasks:
                    msg = f"defaults.{task}: {name} does not offer {task}"
                    raise ValueError(msg)
            for name in default.stands_in_for:
                if normalise(name) in names:
                    msg = (
                        f"defaults.{task}.stands_in_for: {name} is the name of a model here, "
                        f"{self.get(name).name}, which would never be asked"
                    )
                    raise ValueError(msg)
        return self

    @classmethod
    def load(cls, path: Path, *, passes_on: bool = False) -> Self:
        """Read the catalogue.

        Args:
            path: the file.
            passes_on: treat names that are not in it as models of Ollama.

        Raises:
            ValueError: the file is missing or a row is invalid; the message says where, and
                quotes no line of the file, which may have a key.
        """
        try:
            rows = yaml.safe_load(path.read_text(encoding="utf-8"))
            catalog = cls.model_validate(rows)
            if passes_on:
                catalog.get(OLLAMA)
            return catalog.model_copy(update={"passes_on": passes_on})
        except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError, NotOffered) as err:
            msg = f"cannot read the catalogue {path}, which VISION_CATALOG names: {_said(err)}"
            raise ValueError(msg) from err

    def get(self, name: str) -> ModelSpec:
        """Return the row with this name or alias, however it is spelt (case, ``_`` for ``-``).

        Raises:
            NotOffered: there is none.
        """
        wanted = normalise(name)
        for spec in self.models:
            if wanted in {normalise(word) for word in (spec.name, *spec.aliases)}:
                return spec
        names = ", ".join(spec.name for spec in self.models)
        raise NotOffered(f"There is no model {name!r}. Models: {names}.")

    def find(self, name: str, version: str) -> ModelSpec:
        """Return the model with this name and version: a row, or a model of Ollama.

        Args:
            name: requested model, possibly as ``name:version``.
            version: requested version; empty or ``latest``: any.

        Raises:
            NotOffered: no such model or version.
        """
        name, _, inline_version = name.partition(":")
        version = version or inline_version
        try:
            spec = self.get(name)
        except NotOffered:
            if not self.passes_on or not _OLLAMA_NAME.fullmatch(name):
                raise
            return self._passed_on(name, version or "latest")
        if spec.name == OLLAMA:
            raise NotOffered("Name a model of Ollama instead of `ollama`, as llava:7b.")
        if normalise(version) in (*ANY_VERSION, normalise(spec.version)):
            return spec
        if spec.family == OLLAMA:
            # A row is for one version of a model; Ollama may have others.
            if normalise(f"{name}:{version}") == normalise(spec.source or ""):
                return spec
            if self.passes_on:
                return self._passed_on(name, version)
        raise NotOffered(f"{spec.name} is here in version {spec.version!r}, not {version!r}.")

    def _passed_on(self, name: str, version: str) -> ModelSpec:
        """Return a row for a model that only Ollama may have."""
        names = {"name": name, "source": f"{name}:{version}", "version": version}
        return self.get(OLLAMA).model_copy(update=names)

    def stand_in(self, name: str) -> str:
        """Return the entry of ``stands_in_for`` that a request names, as the catalogue spells it.

        Args:
            name: requested model, possibly as ``name:version``.

        Returns:
            the entry; empty if the name is not a stand-in for any task.
        """
        bare = normalise(name.partition(":")[0])
        entries = (word for default in self.defaults.values() for word in default.stands_in_for)
        return next((word for word in entries if normalise(word) == bare), "")

    def _stands_for(self, name: str) -> list[Task]:
        """Return the tasks whose default models answer requests for this name."""
        bare = normalise(name.partition(":")[0])
        return [
            task
            for task, default in self.defaults.items()
            if bare in map(normalise, default.stands_in_for)
        ]

    def resolve(self, task: Task, name: str, version: str, enabled: Iterable[str]) -> ModelSpec:
        """Find the model for a task.

        Args:
            task: its name.
            name: requested model, possibly as ``name:version``. Empty, or a name that the task's
                default stands in for: the default.
            version: requested version; empty or ``latest``: any.
            enabled: models that this stack runs; among those that the catalogue does not prefer,
                earlier ones are preferred.

        Raises:
            NotOffered: no such model or version, or it does not offer the task.
        """
        try:
            return self._resolve(task, name, version, enabled)
        except NotOffered as err:
            raise NotOffered(f"{err.message} {find_task(task).advice}".rstrip()) from err

    def _resolve(self, task: Task, name: str, version: str, enabled: Iterable[str]) -> ModelSpec:
        tasks = self._stands_for(name)
        if task in tasks or not name.partition(":")[0].strip():
            return self._default(task, enabled)
        if tasks:  # not a model of Ollama either
            raise NotOffered(
                f"There is no model {name!r} for {task}: it stands for the default model for "
                f"{' and '.join(tasks)}."
            )
        spec = self.find(name, version)
        if task not in spec.tasks:
            able = ", ".join(spec.name for spec in self.models if task in spec.tasks)
            raise NotOffered(f"{spec.name} does not do {task}. Models that do: {able or 'none'}.")
        return spec

    def plan(
        self, tasks: Iterable[Task], name: str, version: str, enabled: Iterable[str]
    ) -> tuple[Assignment, ...]:
        """Assign ``tasks`` to models; tasks that no model can be found for are left out.

        Raises:
            NotOffered: the requested model, or any enabled one, does none of them.
        """
        chosen: dict[str, Assignment] = {}
        error: NotOffered | None = None
        for task in tasks:
            try:
                spec = self.resolve(task, name, version, enabled)
            except NotOffered as err:
                error = err
                continue
            before = chosen[spec.name].tasks if spec.name in chosen else ()
            chosen[spec.name] = Assignment(spec, (*before, task))
        if not chosen and error is not None:
            raise error
        return tuple(chosen.values())

    def _default(self, task: Task, enabled: Iterable[str]) -> ModelSpec:
        running = [spec for spec in map(self.get, enabled) if spec.name != OLLAMA]
        preferred = self.defaults[task].prefer if task in self.defaults else ()
        first = [spec for spec in map(self.get, preferred) if spec in running]
        for spec in first + running:
            if task in spec.tasks:
                return spec
        able = ", ".join(spec.name for spec in self.models if task in spec.tasks)
        raise NotOffered(
            f"No model for {task} is enabled here. Name one in the request or add it to "
            f"VISION_MODELS. Models that do {task}: {able or 'none'}."
        )


def _said(err: Exception) -> str:
    """Return an error as one sentence that quotes nothing that was read."""
    if isinstance(err, ValidationError):
        return "; ".join(map(str, faults_of(err)))
    if isinstance(err, yaml.MarkedYAMLError) and err.problem_mark:
        return f"{err.problem} in line {err.problem_mark.line + 1}"
    if isinstance(err, OSError):
        return err.strerror or str(err)
    return str(err)


def normalise(word: str) -> str:
    """Return one spelling for all that clients send: case, ``_`` or ``-``, surrounding space."""
    return word.strip().lower().replace("_", "-")
