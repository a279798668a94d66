"""Downloads from the hub, each verified against what the hub says of the file."""

import hashlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import structlog

from shared.model_spec import ModelSpec
from shared.units import MEGA
from workers.model.family import LoadError

log = structlog.get_logger(__name__)

UNFINISHED = "*.incomplete"
"""Files that the hub's client is fetching; it has them below ``.cache`` in its folder."""
REPORT_S = 2.0
"""Interval of progress reports."""
DAMAGED_AGAIN_S = 3600.0
"""Pause after a file arrived damaged, so that gigabytes are not fetched in vain all the time."""
WRONG_SIZE = "Consistency check failed: "
"""How the hub's client begins its error when a reply was shorter or longer than announced."""

# Plain HTTP only: tests can serve it, and it writes to no place but the folder, while Xet has a
# cache in the home directory. Set here because huggingface_hub reads it when it is first imported.
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")


class HubFile(NamedTuple):
    """What the hub says of a file; ``None`` where it says nothing."""

    size: int | None
    sha256: str | None
    """Of files in git-lfs."""
    blob_id: str | None
    """Of other files: the SHA-1 of git's header and the contents."""

    def is_same(self, path: Path) -> bool:
        """Return whether a file on disk certainly has the same contents."""
        return bool(self.sha256 or self.blob_id) and not self.difference(path)

    def difference(self, path: Path) -> str:
        """Return how a file on disk differs, as the end of a sentence; empty: it does not."""
        if not path.is_file():
            return "did not arrive"
        size = path.stat().st_size
        if self.size is not None and size != self.size:
            return f"has {size:,} bytes instead of {self.size:,}"
        if self.sha256:
            expected, digest = self.sha256, hashlib.sha256()
        elif self.blob_id:
            expected, digest = self.blob_id, hashlib.sha1(usedforsecurity=False)
            digest.update(b"blob %d\0" % size)
        else:
            return ""
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
        return "" if digest.hexdigest() == expected else "has other contents than on the hub"


class Repository(NamedTuple):
    """A repository on the hub at one commit."""

    source: str
    commit: str
    files: Mapping[str, HubFile]


def look_up(spec: ModelSpec) -> Repository:
    """Ask the hub which files a model's repository has.

    Raises:
        LoadError: the hub refuses, or something else than the hub answers.
        OSError, httpx2.HTTPError: the hub cannot be reached.
    """
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    source = spec.source or ""
    try:
        info = huggingface_hub.HfApi().model_info(
            source, revision=spec.revision, files_metadata=True
        )
    except HfHubHTTPError as err:
        raise LoadError(f"The hub refused {source}: {err}") from err
    except HFValidationError as err:
        raise LoadError(f"`source` in the row of {spec.name} names no repository: {err}") from err
    except (ValueError, TypeError, LookupError) as err:  # a web page, or other JSON
        raise _not_the_hub(source) from err
    files = {
        file.rfilename: HubFile(
            file.size,
            file.lfs.sha256 if file.lfs else None,
            file.blob_id if not file.lfs else None,
        )
        for file in info.siblings or ()
    }
    return Repository(source, info.sha or spec.revision, files)


def download(repository: Repository, names: Sequence[str], folder: Path, *, attempts: int) -> None:
    """Download files into a folder, unless they are there from an earlier, interrupted download.

    Args:
        repository: where from.
        names: which files.
        folder: where to; the hub's client keeps notes of its own in ``.cache`` there.
        attempts: how often a file is fetched that arrives damaged.

    Raises:
        LoadError: a file did not arrive, or is damaged whenever it arrives.
        OSError, httpx2.HTTPError: the hub cannot be reached, or the folder cannot be written.
    """
    wrong: dict[str, str] = {}
    cause = ""
    for _ in range(attempts):
        cause = _snapshot(repository, names, folder)
        wrong = {
            name: difference
            for name in names
            if (difference := repository.files[name].difference(folder / name))
        }
        if not wrong:
            return
        log.warning("files arrived damaged", source=repository.source, files=wrong, cause=cause)
        damaged = [name for name in wrong if (folder / name).is_file()]
        for name in damaged:
            (folder / name).unlink()
            cause = cause or f"{name} {wrong[name]}"
    if not cause:
        raise LoadError(f"{next(iter(wrong))} of {repository.source} did not arrive.")
    raise LoadError(
        f"A file of {repository.source} arrives damaged: {cause}. A proxy or a mirror on the way "
        "may change it.",
        DAMAGED_AGAIN_S,
    )


def _snapshot(repository: Repository, names: Sequence[str], folder: Path) -> str:
    """Have the hub's client fetch files; return its complaint about a reply of the wrong size."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()  # our own reports suit a log, and reach the heartbeat as well
    try:
        huggingface_hub.snapshot_download(
            repository.source,
            revision=repository.commit,
            local_dir=folder,
            allow_patterns=list(names),
            max_workers=4,
        )
    except HfHubHTTPError as err:
        raise LoadError(f"The hub refused {repository.source}: {err}") from err
    except OSError as err:
        _, complaint, details = str(err).partition(WRONG_SIZE)
        if not complaint:
            raise
        return details.partition(".\n")[0]
    except ValueError as err:
        raise _not_the_hub(repository.source) from err
    return ""


def _not_the_hub(source: str) -> LoadError:
    return LoadError(
        f"What answered for {source} is not the hub; it may be the login page of a proxy."
    )


def clear_unfinished(folder: Path) -> None:
    """Delete what a fetch left that was killed; call it while nobody else can fetch.

    The hub's client never resumes such files, as it chooses new names each time:
    https://github.com/huggingface/huggingface_hub/issues/4196.
    """
    for leftover in (folder / ".cache").rglob(UNFINISHED):
        leftover.unlink()


class Progress:
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
