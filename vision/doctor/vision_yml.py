"""Checks of a PhotoPrism's ``vision.yml``: each entry is asked for as PhotoPrism will."""

import os
import re
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import yaml

from vision.choice import NoModel, find
from vision.doctor.findings import Findings, doubtful, good, wrong
from vision.photoprism.vision_yml import ENGINE_PATHS, KEY, KEY_VARIABLE, OWN_THRESHOLD
from vision.schemas import BASE_TASKS, Model
from vision.service import ANSWER_S, BASE, Service, ServiceError, host_and_port

URI_VARIABLE = "PHOTOPRISM_VISION_URI"
PART = "vision.yml"
THRESHOLDS = ("NSFWIndex", "NSFWUpload")
NEAR = 1
"""Percent by which a threshold may differ from the model's, as it is rounded."""
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


class Entry(NamedTuple):
    """One entry under ``Models``."""

    type: str
    model: str
    version: str
    engine: str
    uri: str
    key: str

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> "Entry":
        """Read an entry."""
        service = said.get("Service") or {}
        name = str(said.get("Model") or said.get("Name") or "")
        bare, _, version = name.partition(":")
        return cls(
            type=str(said.get("Type") or "").lower(),
            model=bare,
            version=str(said.get("Version") or version or "latest"),
            engine=str(said.get("Engine") or "").lower(),
            uri=str(service.get("Uri") or ""),
            key=str(service.get("Key") or ""),
        )

    @property
    def name(self) -> str:
        """The model as ``name:version``, as Ollama's clients call it."""
        return f"{self.model}:{self.version}"

    @property
    def path(self) -> str:
        """Path of a Uri that its engine can use."""
        return ENGINE_PATHS.get(self.engine, f"{BASE}/{self.type}")


def check_vision_yml(path: Path, service: Service, vision_uri: str) -> Findings:
    """Check a ``vision.yml``.

    Args:
        path: the file.
        service: the one at hand, with the key for entries whose variable is not set here.
        vision_uri: value of ``PHOTOPRISM_VISION_URI``; empty: it is not set.
    """
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        rows = said.get("Models") or ()
        entries = [Entry.of(row) for row in rows]
        thresholds = dict(said.get("Thresholds") or {})
    except (OSError, yaml.YAMLError, AttributeError, TypeError, ValueError) as err:
        yield wrong(PART, f"{path} cannot be read: {err}", "See `vision config photoprism`.")
        return
    remote = [entry for entry in entries if entry.uri]
    if not remote:
        advice = "Write entries with `vision config photoprism`."
        yield wrong(
            PART,
            f"{path} has no entry with a Uri, so PhotoPrism does not use this service.",
            advice,
        )
    for entry in remote:
        yield from _check_entry(entry, service, thresholds)
    yield from _check_variable(vision_uri, remote, service)


def _check_entry(entry: Entry, service: Service, thresholds: Mapping[str, Any]) -> Findings:
    part = f"{PART}, {entry.type or 'an entry without Type'}"
    if entry.type not in (*BASE_TASKS, "face", "labels"):
        yield doubtful(part, "The service does not know this type.", "See docs/photoprism.md.")
        return
    if host_and_port(_expand(entry.uri)) is None:
        advice = f"Write http://NAME:5000{entry.path}, with the name of the service's machine."
        yield wrong(part, f"Its Uri {entry.uri} is not an address.", advice)
        return
    base, path = _split(entry.uri)
    if not _fits(entry, path):
        advice = f"Write {base}{entry.path}"
        yield wrong(part, f"Its Uri {entry.uri} is for something else.", advice)
        return
    if reason := _unresolvable(base):
        yield doubtful(
            part,
            f"{base} cannot be resolved from here ({reason}).",
            "This is normal for names inside Docker; if so, run `vision doctor` in that network.",
        )
        return
    there = Service(base, _expand(entry.key) or (service.key if KEY in entry.key else ""))
    yield from _check_key(part, entry, there)
    yield from _check_model(part, entry, there, path, thresholds)


def _check_key(part: str, entry: Entry, there: Service) -> Findings:
    try:
        Service(there.url).models()
    except ServiceError as err:
        if err.status != 401:
            return  # it is not there: the next check says so
    else:
        return  # no key is needed
    if not entry.key:
        advice = f"Add `Key: {KEY}` below its Uri, and set the variable for PhotoPrism."
        yield wrong(part, "The service needs a key, and the entry has no Key of its own.", advice)
        return
    try:
        there.models()
        yield good(part, "Its Key is accepted.")
    except ServiceError:
        if not there.key:
            advice = f"Set {KEY_VARIABLE} here too, or give --key, to have it checked."
            yield doubtful(part, f"The value of {entry.key} is not known here.", advice)
        else:
            yield wrong(part, "Its Key is not accepted.", "Give one of VISION_API_KEYS.")


def _check_model(
    part: str, entry: Entry, there: Service, path: str, thresholds: Mapping[str, Any]
) -> Findings:
    try:
        models = there.models()
    except ServiceError as err:
        if err.status != 401:
            yield wrong(part, str(err), "Correct the Uri, or start the service there.")
        return
    refusal = _refusal(entry, there, path)
    if refusal:
        advice = "`vision models` lists what runs there, and `vision config photoprism` entries."
        yield wrong(part, refusal, advice)
        return
    yield good(part, f"{entry.model or 'The default model'} answers at {entry.uri}.")
    if entry.type == "nsfw":
        yield from _check_thresholds(part, _answering(models, entry), thresholds)


def _refusal(entry: Entry, there: Service, path: str) -> str:
    """Ask as PhotoPrism does, but without a photo; return why that is refused, or nothing.

    Name, version and workers are looked at before the photo is missed.
    """
    try:
        if entry.engine in ENGINE_PATHS:
            there.post("/api/show", {"model": entry.name}, ANSWER_S)
            model = find(there.models(), entry.name)
            return "" if model.served else f"No worker serves {model.name}."
        there.post(path, {"model": entry.model, "version": entry.version}, ANSWER_S)
    except NoModel as err:
        return str(err)
    except ServiceError as err:
        return "" if err.status == 400 and "no image" in str(err) else str(err)
    return ""


def _answering(models: Sequence[Model], entry: Entry) -> Model | None:
    """Return the model behind an entry; a name of PhotoPrism's own means the default."""
    try:
        return find(models, entry.model)
    except NoModel:
        return next((model for model in models if entry.type in model.default_for), None)


def _check_thresholds(part: str, model: Model | None, thresholds: Mapping[str, Any]) -> Findings:
    if model is None or model.nsfw_threshold is None:
        return
    wanted = model.nsfw_threshold * 100
    for name in THRESHOLDS:
        found = thresholds.get(name)
        try:
            compared = OWN_THRESHOLD * 100 if found is None else float(found)
        except (TypeError, ValueError):
            advice = f"Write `{name}: {round(wanted)}`."
            yield wrong(part, f"Thresholds.{name} is not a number: {found!r}.", advice)
            continue
        if abs(compared - wanted) > NEAR:
            what = f"is {compared:g}" if found is not None else f"is not set, and then {compared:g}"
            yield doubtful(
                part,
                f"Thresholds.{name} {what}; {model.name} means unsafe from {wanted:.1f} on.",
                f"Write `{name}: {round(wanted)}`, or set `rescale: true` in the model's row.",
            )
        else:
            yield good(part, f"Thresholds.{name} fits {model.name}.")


def _check_variable(vision_uri: str, remote: Sequence[Entry], service: Service) -> Findings:
    if not vision_uri:
        return
    try:
        faces = [model.name for model in service.models() if "face" in model.tasks and model.served]
    except ServiceError:
        return
    if faces:
        says = f"It also sends faces here, to {', '.join(faces)}."
        yield doubtful(
            URI_VARIABLE, says, "Faces that were found before have to be computed again."
        )
    else:
        yield wrong(
            URI_VARIABLE,
            "It also sends faces here, but no face model runs, so no faces are recognised at all.",
            "Remove the variable and keep the entries, or run a face model: docs/models.md.",
        )
    if not any(entry.type == "caption" for entry in remote):
        yield wrong(
            URI_VARIABLE,
            "It does not cover captions: without an entry, they are asked of http://ollama:11434.",
            "Add an entry of the type caption: `vision config photoprism`.",
        )


def _split(uri: str) -> tuple[str, str]:
    parts = urlsplit(_expand(uri))
    return f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")


def _fits(entry: Entry, path: str) -> bool:
    if entry.engine in ENGINE_PATHS:
        return path == entry.path
    return path == BASE or f"{path}/".startswith(f"{BASE}/{entry.type}/")


def _unresolvable(base: str) -> str:
    """Return why the host of an address cannot be looked up; empty: it can."""
    try:
        socket.getaddrinfo(urlsplit(base).hostname, None)
    except (OSError, UnicodeError) as err:
        return getattr(err, "strerror", "") or str(err)
    return ""


def _expand(text: str) -> str:
    """Replace variables as PhotoPrism does: by those of the environment, or by nothing."""
    return _VARIABLE.sub(lambda found: os.environ.get(found[1], ""), text)
