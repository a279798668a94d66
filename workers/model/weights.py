"""Weights on disk: find them, or fetch them from the hub without ever leaving half a model.

Files are fetched into ``<folder>.partial`` beside the folder, which is renamed when it is complete.
After an interruption complete files are kept; the hub's client fetches the others from the start.
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

WEIGHT_PATTERNS = ("model.safetensors", "model-*.safetensors", "pytorch_model*.bin")
"""Best first. ``.bin`` files are pickles: transformers loads them with ``weights_only``."""
INDEX_FILES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
OTHER_PATTERNS = ("*.json", "*.txt", "*.model", "LICENSE*", "README.md")
UNFINISHED = "*.incomplete"
"""Files that the hub's client is fetching; it has them below ``.cache`` in its folder."""
REPORT_S = 2.0
"""Interval of progress reports."""

# Plain HTTP only: tests can serve it, and it writes to no place but the folder, while Xet has a
# cache in the home directory. Set here because huggingface_hub reads it when it is first imported.
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")


def ensure_weights(spec: ModelSpec, models_dir: Path, report: Callable[[str], None]) -> Path:
    """Return the folder with the model's weights, after fetching them if they are missing.

    Several workers may call this at once: one fetches, the others wait for it.

    Args:
        spec: model with a ``source`` on the hub.
        models_dir: parent of the folders of weights; created if it is missing.
        report: called with the progress as text for a person.

    Raises:
        LoadError: the weights cannot be fetched; the message says what to do.
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
    """Return whether the folder holds a configuration and all weight files."""
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
    """Choose the files of a repository to fetch: text files, and weights in the best format."""
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

    disable_progress_bars()  # our own reports suit a log, and reach the heartbeat as well
    source = spec.source or ""
    partial = folder.with_name(f"{folder.name}.partial")
    report(f"asking for {source}")
    # Left by a fetch that was killed. The hub's client never resumes them, as it chooses new names
    # each time (https://github.com/huggingface/huggingface_hub/issues/4196), and nobody else is
    # fetching while we hold the lock.
    for leftover in (partial / ".cache").rglob(UNFINISHED):
        leftover.unlink()
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
    shutil.rmtree(partial / ".cache", ignore_errors=True)  # metadata of the hub's client
    if folder.exists():  # incomplete, or created by a container's mount
        for path in sorted(partial.iterdir(), key=_is_weights):  # weights last: they complete it
            path.replace(folder / path.name)
        partial.rmdir()
    else:
        partial.rename(folder)
    log.info("weights fetched", model=spec.name, folder=str(folder))


def _is_weights(path: Path) -> bool:
    return any(fnmatch(path.name, pattern) for pattern in WEIGHT_PATTERNS)


class _Progress:
    """Reports and logs every :data:`REPORT_S` how much of a download is on disk."""

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
            unfinished = (self._folder / ".cache").rglob(UNFINISHED)
            files = [*unfinished, *(self._folder / name for name in self._sizes)]
            # A larger file of an older revision may be there: never report more than 100 %.
            done = min(sum(map(_size, files)), total)
            percent = f"{100 * done / total:.0f} % " if total else ""
            text = f"{percent}({done / MEGA:.0f} of {total / MEGA:.0f} MB) of {self._spec.source}"
            log.info("downloading", model=self._spec.name, progress=text)
            self._report(text)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:  # renamed between listing and looking
        return 0


def _fetch_ahead(argv: list[str]) -> None:
    """``python -m workers.model.weights [MODEL…]``: fetch weights before a worker needs them."""
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
            log.info("weights are available", model=spec.name, folder=str(folder))
    except (LoadError, NotOffered, ValueError) as err:
        sys.exit(str(err))


if __name__ == "__main__":
    import sys

    _fetch_ahead(sys.argv[1:])
