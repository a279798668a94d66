"""PhotoPrism's ``vision.yml`` for the models that run here, with the pitfalls as comments."""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from vision.choice import NoModel, choose
from vision.schemas import BASE_TASKS, OLLAMA, Model
from vision.service import BASE, is_loopback

KEY_VARIABLE = "PHOTOPRISM_VISION_KEY"
KEY = f"${{{KEY_VARIABLE}}}"
"""What PhotoPrism replaces by its variable when it reads the file."""
FIT = 720
"""PhotoPrism's ``Resolution`` for captions and for chat models: its thumbnail ``fit_720``. Without
it, they get 224 pixels."""
OWN_THRESHOLD = 0.75
"""What PhotoPrism compares a remote model's score with unless ``Thresholds`` say otherwise."""
COMPOSED = "efficientnet_lite"
"""The family whose captions are composed of labels."""


class Door(StrEnum):
    """The form in which PhotoPrism asks."""

    VISION = "vision"
    OLLAMA = "ollama"
    OPENAI = "openai"


ENGINE_PATHS: Mapping[str, str] = {Door.OLLAMA: "/api/generate", Door.OPENAI: "/v1/responses"}
"""Where PhotoPrism's engines ask for captions and labels, with prompts and schemas of their own."""


class Entries(NamedTuple):
    """The entries of a ``vision.yml``."""

    address: str
    """By which PhotoPrism reaches the service."""
    door: Door
    needs_key: bool
    """Whether requests need an API key."""
    chosen: Mapping[str, Model]
    """The model of each task that one does."""
    able: Mapping[str, Sequence[str]]
    """The names of all models that run and could do it."""
    prompts: Mapping[str, str] = {}
    """Prompts other than those of the models' rows, by task."""
    systems: Mapping[str, str] = {}
    """System prompts, by task."""

    def text(self) -> str:
        """Return the file."""
        entries = map(self.entry, BASE_TASKS)
        return "".join([self.head(), *entries, self.thresholds()])

    def with_model(self, task: str, model: Model, prompt: str, system: str) -> "Entries":
        """Return the same with another model for one task, with these prompts or its own."""
        return self._replace(
            chosen={**self.chosen, task: model},
            prompts={**self.prompts, task: prompt},
            systems={**self.systems, task: system},
        )

    def head(self) -> str:
        """Return the lines before the entries."""
        return _lines([*self._head(), "Models:"])

    def entry(self, task: str) -> str:
        """Return the lines of the entry for a task."""
        model = self.chosen.get(task)
        if model is None:
            return f"  # No model for {task} runs here; `vision models --all` lists all.\n"
        return _lines(self._entry(task, model))

    def thresholds(self) -> str:
        """Return the lines behind the entries."""
        return _lines(self._thresholds())

    def _head(self) -> list[str]:
        lines = [
            "# vision.yml for PhotoPrism, which reads it from storage/config/ when it starts.",
            "# Remove the entries that you do not want. The models that it names must run here.",
            "#",
            "# Do not set PHOTOPRISM_VISION_URI as well. It would send faces here too, so",
            "# there would be no face recognition unless a face model runs here, and it",
            "# does not cover captions.",
        ]
        if is_loopback(self.address):
            lines += [
                "#",
                f"# {self.address} is this machine only. For a PhotoPrism in a container or on",
                "# another machine, use the name that it knows: --address http://NAME:5000",
            ]
        return lines

    def _entry(self, task: str, model: Model) -> list[str]:
        lines = [f"  - Type: {task}"]
        engine = ENGINE_PATHS.get(self.door) if task != "nsfw" else None
        if model.family == OLLAMA or (engine and self.door is Door.OLLAMA):
            lines.append(f"    Model: {full_name(model)}{self._alternatives(task, model)}")
        else:
            lines.append(f"    Name: {model.name}{self._alternatives(task, model)}")
        for key, prompts in (("System", self.systems), ("Prompt", self.prompts)):
            if prompt := prompts.get(task):
                lines.append(f"    {key}: {json.dumps(prompt, ensure_ascii=False)}")
        if engine:
            lines.append(f"    Engine: {self.door}   # it sends its own prompts and schemas")
        if task == "caption" and model.family == COMPOSED:
            lines.append(
                "    # It composes captions from labels; `smolvlm2`, for example, writes them."
            )
        lines += self._large(task, model)
        uri = f"{self.address}{engine or f'{BASE}/{task}'}"
        return [*lines, "    Service:", f"      Uri: {uri}", *self._key()]

    def _large(self, task: str, model: Model) -> list[str]:
        lines = []
        if task == "labels":
            lines.append("    Normalize: phrase   # otherwise label names may be cut to one word")
        if task == "caption" or (task == "labels" and "answer" in model.tasks):
            lines.append(f"    Resolution: {FIT}")
        return lines

    def _key(self) -> list[str]:
        if self.needs_key:
            why = "set this variable for PhotoPrism to one of VISION_API_KEYS"
        else:
            why = "the service has no API keys; leaving it empty does no harm"
        return [f"      Key: {KEY}   # {why}"]

    def _alternatives(self, task: str, model: Model) -> str:
        names = [name for name in self.able.get(task, ()) if name != model.name]
        return f"   # or {', '.join(names)}" if names else ""

    def _thresholds(self) -> list[str]:
        model = self.chosen.get("nsfw")
        if model is None or model.nsfw_threshold is None:
            return []
        if model.nsfw_threshold == OWN_THRESHOLD:
            return [f"# Thresholds: {model.name} compares with 0.75, as PhotoPrism does by itself."]
        percent = round(model.nsfw_threshold * 100)
        return [
            f"# The threshold of {model.name} in percent. Since autumn 2026 PhotoPrism compares",
            "# with it and ignores our `status`. Older versions compare with 75 for uploads and 98",
            "# in the index, whatever is here: for them set `rescale: true` in the model's row.",
            "Thresholds:",
            f"  NSFWIndex: {percent}",
            f"  NSFWUpload: {percent}",
        ]


def entries(
    models: Sequence[Model], wanted: Sequence[str], address: str, door: Door, *, needs_key: bool
) -> Entries:
    """Choose models that run for the tasks.

    Args:
        models: those of the catalogue.
        wanted: names of models to be preferred; none: the defaults.
        address: by which PhotoPrism reaches the service.
        door: how PhotoPrism is to ask.
        needs_key: whether requests need an API key.

    Raises:
        NoModel: one of the names is unknown.
    """
    chosen: dict[str, Model] = {}
    for task in BASE_TASKS:
        try:
            model = choose(models, task, wanted)
        except NoModel:
            if wanted:  # of which each may do another task
                model = choose(models, task, ())
            else:
                continue
        if model.runs:
            chosen[task] = model
    able = {
        task: [
            model.name
            for model in models
            if model.served and task in model.tasks and model.name != OLLAMA
        ]
        for task in BASE_TASKS
    }
    return Entries(address.rstrip("/"), door, needs_key, chosen, able)


def compose(found: Entries) -> str:
    """Return an overlay of PhotoPrism's compose file that holds the ``vision.yml``, too."""
    # Compose would replace the variable itself, before PhotoPrism sees it.
    content = found.text().replace(KEY, f"${KEY}")
    indented = "".join(f"      {line}\n" if line else "\n" for line in content.splitlines())
    return f"""\
# For PhotoPrism's compose file: save this beside it as compose.vision.yaml, and start both with
#   docker compose -f compose.yaml -f compose.vision.yaml up -d
# It joins the network of the service's own compose.yaml. It needs Docker Compose 2.23.1 or newer.
services:
  photoprism:
    environment:
      {KEY_VARIABLE}: ${{{KEY_VARIABLE}:-}}   # one of VISION_API_KEYS, if there are any; in .env
    networks: [default, vision]
    configs:
      - source: vision-yml
        target: /photoprism/storage/config/vision.yml
networks:
  vision: {{external: true, name: vision_default}}
configs:
  vision-yml:
    content: |
{indented}"""


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def full_name(model: Model) -> str:
    """Return ``name:version``, as Ollama's clients call models."""
    return f"{model.name}:{model.version}" if model.version else model.name
