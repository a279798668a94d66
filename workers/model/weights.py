"""Weights on disk: find them, or fetch them from the hub so that no half model is ever left.

Files are fetched into ``<folder>.partial`` beside the folder and renamed when all are there. After
an interruption those that are complete are kept; the hub's client begins the others anew.
"""

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import structlog
from filelock import FileLock

from shared.model_spec import ModelSpec
from shared.units import MEGA
from workers.model.family import LoadError

log = structlog.get_logger(__name__)

# Best first. ``.bin`` files are pickles: transformers loads them with ``weights_only``.
WEIGHT_PATTERNS = ("model.safetensors", "model-*.safetensors", "pytorch_model*.bin")
INDEX_FILES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
OTHER_PATTERNS = ("*.json", "*.txt", "*.model", "LICENSE*", "README.md")
REPORT_S = 2.0
UNFINISHED = "*.incomplete"
"""What the hub's client calls files that it is fetching, below ``.cache`` in its folder."""

# Plain HTTP alone: that is the way that tests take, and it writes nowhere but into the folder; Xet
# has a cache in the home directory. Read when huggingface_hub is first imported, by whomever.
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")


def ensure_weights(spec: ModelSpec, models_dir: Path, report: Callable[[str], None]) -> Path:
    """Return the folder with the model's weights, after fetching them if they are not there.

    Several workers may ask at once: one fetches, the others wait for it.

    Args:
        spec: model with a ``source`` on the hub.
        models_dir: where folders of weights are; made if need be.
        report: called with the progress, for a person.

    Raises:
        LoadError: nothing can be fetched; the message says what to do.
    """
    import httpx2

    folder = models_dir / spec.folder
    if is_complete(folder):
        return folder
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(models_dir / f"{spec.folder}.lock"):
            if not is_complete(folder):
                _fetch(spec, folder, report)
    except (OSError, httpx2.HTTPError) as err:
        raise LoadError(
            f"Cannot fetch {spec.source} into {folder}: {err}. Check the network and the folder's "
            f"permissions, or put the files there by hand."
        ) from err
    return folder


def is_complete(folder: Path) -> bool:
    """Say whether the folder holds a configuration and all its weight files."""
    if not (folder / "config.json").is_file():
        return False
    if any((folder / name).is_file() for name in ("model.safetensors", "pytorch_model.bin")):
        return True
    return any(_has_shards(folder / name) for name in INDEX_FILES)


def _has_shards(index: Path) -> bool:
    try:
        shards = set(json.loads(index.read_text())["weight_map"].values())
    except (OSError, ValueError, KeyError):
        return False
    return all((index.parent / shard).is_file() for shard in shards)


def wanted_files(names: Iterable[str]) -> list[str]:
    """Choose what to fetch of a repository: texts, and weights in the best format it has."""
    names = [name for name in names if "/" not in name]
    chosen = [name for name in names if any(fnmatch(name, pattern) for pattern in OTHER_PATTERNS)]
    for pattern in (WEIGHT_PATTERNS[:2], WEIGHT_PATTERNS[2:]):
        weights = [name for name in names if any(fnmatch(name, p) for p in pattern)]
        if weights:
            return sorted(chosen + weights)
    return sorted(chosen)


def _fetch(spec: ModelSpec, folder: Path, report: Callable[[str], None]) -> None:
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()  # our own lines also reach the heartbeat, and suit a log
    source = spec.source or ""
    partial = folder.with_name(f"{folder.name}.partial")
    report(f"asking for {source}")
    # A fetch that was killed left them. Their names are made up anew each time, so that nobody ever
    # goes on with one (https://github.com/huggingface/huggingface_hub/issues/4196); and nobody else
    # is fetching, since we hold the lock.
    for left_over in (partial / ".cache").rglob(UNFINISHED):
        left_over.unlink()
    try:
        info = huggingface_hub.HfApi().model_info(
            source, revision=spec.revision, files_metadata=True
        )
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
        names = wanted_files(sizes)
        with _Progress(partial, {name: sizes[name] for name in names}, spec, report):
            huggingface_hub.snapshot_download(
                source,
                revision=info.sha or spec.revision,
                local_dir=partial,
                allow_patterns=names,
                max_workers=4,
            )
    except HfHubHTTPError as err:
        raise LoadError(f"The hub refused {spec.source}: {err}") from err
    if not is_complete(partial):
        raise LoadError(f"{spec.source} holds no weights in a format known here.")
    shutil.rmtree(partial / ".cache", ignore_errors=True)  # the hub client's notes
    if folder.exists():  # with files missing, or made by somebody's mount
        for path in sorted(partial.iterdir(), key=_is_weights):  # last what makes it complete
            path.replace(folder / path.name)
        partial.rmdir()
    else:
        partial.rename(folder)
    log.info("weights fetched", model=spec.name, folder=str(folder))


def _is_weights(path: Path) -> bool:
    return any(fnmatch(path.name, pattern) for pattern in WEIGHT_PATTERNS)


class _Progress:
    """Reports and logs how much of a download is on disk, every few seconds."""

    def __init__(
        self,
        folder: Path,
        sizes: Mapping[str, int],
        spec: ModelSpec,
        report: Callable[[str], None],
    ) -> None:
        self._folder, self._sizes, self._spec, self._report = folder, sizes, spec, report
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(REPORT_S):
            total = sum(self._sizes.values())
            begun = (self._folder / ".cache").rglob(UNFINISHED)
            files = [*begun, *(self._folder / name for name in self._sizes)]
            # A file of an older revision may be there and larger.
            done = min(sum(map(_size, files)), total)
            share = f"{100 * done / total:.0f} % " if total else ""
            text = f"{share}({done / MEGA:.0f} of {total / MEGA:.0f} MB) of {self._spec.source}"
            log.info("downloading", model=self._spec.name, progress=text)
            self._report(text)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:  # renamed between listing and looking
        return 0


def _fetch_ahead(argv: list[str]) -> None:
    """``python -m workers.model.weights MODEL…``: fetch weights before a worker needs them."""
    import sys

    from shared.catalog import Catalog
    from shared.errors import NotOffered
    from shared.log import configure_logging
    from shared.settings import get_settings

    settings = get_settings()
    configure_logging(settings.model_copy(update={"log_format": "console"}), "models")
    try:
        catalog = Catalog.load(settings.catalog)
        for name in argv or list(settings.models):
            spec = catalog.get(name)
            if spec.source:
                folder: Any = ensure_weights(spec, settings.models_dir, lambda _: None)
            else:
                folder = "a Python package"
            log.info("weights are there", model=spec.name, folder=str(folder))
    except (LoadError, NotOffered, ValueError) as err:
        sys.exit(str(err))


if __name__ == "__main__":
    import sys

    _fetch_ahead(sys.argv[1:])
