"""Weights on disk: find them, or fetch what is missing or damaged from the hub.

Files are fetched into ``<folder>.partial`` beside the folder and verified there. Then they are
moved into place, so that no file is lost before its replacement is there. After an interruption
the next download goes on where it stopped.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

import structlog
from filelock import FileLock, Timeout

from shared.families import FAMILIES
from shared.model_spec import ModelSpec
from shared.units import GIGA, MEGA
from workers.model import hub
from workers.model.checkpoint import (
    Fault,
    describe,
    files_to_fetch,
    find_faults,
    find_faults_of,
    is_weights,
    wanted_files,
)
from workers.model.download_errors import explain
from workers.model.family import LoadError
from workers.model.hub import Fetched, Repository, Watch

log = structlog.get_logger(__name__)

Report = Callable[[Fetched], None]
"""Gets the progress; it may be called in a thread of its own."""


def ensure_weights(spec: ModelSpec, models_dir: Path, report: Report) -> Path:
    """Return the folder with the model's weights, after fetching what is missing or damaged.

    Several workers may call this at once: one fetches, the others wait for it.

    Args:
        spec: model with a ``source`` on the hub, or with ``files`` that are there.
        models_dir: parent of the folders of weights; created if it is missing.
        report: called with the progress.

    Raises:
        LoadError: the weights are not all there and cannot be fetched; the message says what is
            wrong with them and what to do.
    """
    folder = models_dir / spec.folder
    faults = find_weights_faults(spec, folder)
    if faults and not spec.source:
        raise LoadError(
            f"{folder} cannot be used: {describe(faults)}. Put the file there, or name a "
            f"repository that has it as `source` in the row of {spec.name}."
        )
    if faults:
        found = f"{folder} cannot be used: {describe(faults)}. " if any(folder.glob("*")) else ""
        try:
            with _alone(spec, folder, report):
                faults = find_weights_faults(
                    spec, folder
                )  # another worker may have fetched meanwhile
                if faults:
                    _mend(spec, folder, faults, report)
        except LoadError as err:
            raise LoadError(f"{found}{err}", err.retry_in_s) from err
    return folder


def refetch(spec: ModelSpec, models_dir: Path, files: Sequence[str], report: Report) -> bool:
    """Fetch those files again that are missing, or are not as on the hub.

    Args:
        spec: model with a ``source`` on the hub.
        models_dir: parent of the folders of weights.
        files: names or patterns of small files; they are hashed.
        report: called with the progress.

    Returns:
        Whether anything was fetched.

    Raises:
        LoadError: a file cannot be fetched.
    """
    folder = models_dir / spec.folder
    with _alone(spec, folder, report):
        repository = hub.look_up(spec)
        names = [
            name
            for name in repository.files.keys() & spec.files or wanted_files(repository.files)
            if any(fnmatch(name, pattern) for pattern in files)
            and repository.files[name].difference(folder / name)
        ]
        if names:
            _fetch(spec, folder, repository, names, report)
    return bool(names)


def find_weights_faults(spec: ModelSpec, folder: Path) -> list[Fault]:
    """Return which files of a model are missing or damaged.

    Raises:
        LoadError: the folder cannot be read.
    """
    try:
        if spec.files:
            return find_faults_of(folder, spec.files)
        return find_faults(folder, needs_tokenizer=FAMILIES[spec.family].needs_tokenizer)
    except OSError as err:
        raise LoadError(f"{folder} cannot be read: {err}. Check its permissions.") from err


@contextmanager
def _alone(spec: ModelSpec, folder: Path, report: Report) -> Iterator[None]:
    """Keep other workers from fetching into the folder, and turn errors into sentences."""
    import httpx2

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_name(f"{spec.folder}.lock"))
        while not lock.is_locked:
            try:
                lock.acquire(hub.REPORT_S)
            except Timeout:  # who says nothing for too long counts as hung
                report(Fetched(f"{spec.source}", by_another=True))
        try:
            yield
        finally:
            lock.release()
    except (OSError, httpx2.HTTPError) as err:
        raise explain(err, spec, folder) from err


def _mend(spec: ModelSpec, folder: Path, faults: Sequence[Fault], report: Report) -> None:
    """Fetch what is missing or damaged."""
    damaged = [fault for fault in faults if not fault.is_missing]
    if damaged:
        log.warning("files of weights are damaged", model=spec.name, files=describe(damaged))
    report(Fetched(f"{spec.source}"))
    repository = hub.look_up(spec)
    names = _choose(spec, repository, folder, faults)
    for name in {fault.file for fault in damaged}.intersection(names):
        if repository.files[name].is_same(folder / name):
            raise LoadError(f"It is the same in {spec.source}: choose another source or revision.")
    if names:
        _fetch(spec, folder, repository, names, report, attempts=1 if damaged else 2)
    left = find_weights_faults(spec, folder)
    if left:
        raise LoadError(f"What {spec.source} holds is not enough: {describe(left)}.")


def _choose(
    spec: ModelSpec, repository: Repository, folder: Path, faults: Sequence[Fault]
) -> list[str]:
    """Return which files are to be fetched.

    Raises:
        LoadError: the repository does not have what is needed.
    """
    if spec.files:
        for fault in faults:
            if fault.file not in repository.files:
                raise LoadError(
                    f"{spec.source} has no file {fault.file}: correct `files` in the row of "
                    f"{spec.name}."
                )
        return [fault.file for fault in faults]
    names = files_to_fetch(repository.files, folder, faults)
    if any(is_weights(fault.file) for fault in faults) and not any(map(is_weights, names)):
        raise LoadError(f"{spec.source} holds no weights in a format known here.")
    return names


def _fetch(
    spec: ModelSpec,
    folder: Path,
    repository: Repository,
    names: Sequence[str],
    report: Report,
    attempts: int = 1,
) -> None:
    """Download files, verify them, and move them into the folder."""
    partial = folder.with_name(f"{folder.name}.partial")
    hub.clear_others(repository, names, partial)
    total = sum(repository.files[name].size or 0 for name in names)
    _check_space(spec, partial, total - hub.size_of(partial))
    log.info(
        "download begins",
        model=spec.name,
        source=spec.source,
        files=len(names),
        megabytes=round(total / MEGA),
    )
    with Watch(partial, total, repository.source, report):
        hub.download(repository, names, partial, attempts=attempts)
    folder.mkdir(exist_ok=True)
    for name in sorted(names, key=is_weights):  # weights last: they complete it
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (partial / name).replace(folder / name)
    shutil.rmtree(partial, ignore_errors=True)
    log.info("weights fetched", model=spec.name, folder=str(folder), files=len(names))


def _check_space(spec: ModelSpec, folder: Path, needed: int) -> None:
    """Refuse a download of ``needed`` bytes that the disk has no room for."""
    free = shutil.disk_usage(folder.parent).free
    if needed > free:
        raise LoadError(
            f"{spec.source} takes another {needed / GIGA:.1f} GB in {folder.parent}, where "
            f"{free / GIGA:.1f} GB are free: free some space there, or name a folder on another "
            "disk in VISION_MODELS_DIR."
        )
