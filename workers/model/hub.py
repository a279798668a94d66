"""Downloads from the hub: resumed after an interruption, and verified against what it says."""

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import structlog

from shared.model_spec import ModelSpec
from shared.units import MEGA
from workers.model.family import LoadError

log = structlog.get_logger(__name__)

UNFINISHED = ".incomplete"
"""End of the name of a file that is being fetched, after the id of its contents."""
CONNECTIONS = 4
"""Files that are fetched at once."""
REPORT_S = 2.0
"""Interval of progress reports; files grow by 10 MB at once, so more would tell no more."""
DAMAGED_AGAIN_S = 3600.0
"""Pause after a file arrived damaged, so that gigabytes are not fetched in vain all the time."""


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

    def unfinished(self, name: str) -> str:
        """Return what a file is called while it is fetched; it differs for other contents."""
        file = self.files[name]
        return f"{name}.{file.sha256 or file.blob_id or self.commit}{UNFINISHED}"


def look_up(spec: ModelSpec) -> Repository:
    """Ask the hub which files a model's repository has.

    Raises:
        LoadError: the row names no repository, a variable no address, or something else than the
            hub answers.
        OSError, httpx2.HTTPError: the hub refuses, or cannot be reached.
    """
    import huggingface_hub
    from huggingface_hub.errors import HFValidationError

    source = spec.source or ""
    _check_proxies()
    try:
        api = huggingface_hub.HfApi()
    except ValueError as err:  # it is read on import
        raise LoadError(
            "HF_ENDPOINT is not an address. Write it as https://mirror.example."
        ) from err
    try:
        info = api.model_info(source, revision=spec.revision, files_metadata=True)
    except HFValidationError as err:
        raise LoadError(f"`source` in the row of {spec.name} names no repository: {err}") from err
    except (ValueError, TypeError, LookupError) as err:  # a web page, or other JSON
        raise LoadError(
            f"What answered for {source} is not the hub; it may be the login page of a proxy."
        ) from err
    files = {
        file.rfilename: HubFile(
            file.size,
            file.lfs.sha256 if file.lfs else None,
            file.blob_id if not file.lfs else None,
        )
        for file in info.siblings or ()
    }
    return Repository(source, info.sha or spec.revision, files)


def _check_proxies() -> None:
    """See that the hub's client can use the proxies that the environment names.

    Raises:
        LoadError: it cannot. No address is told, which may have a password.
    """
    import httpx2

    try:
        httpx2.Client().close()
    except ImportError as err:
        raise LoadError(
            "HTTPS_PROXY or ALL_PROXY names a SOCKS proxy, for which the Python package socksio is "
            "missing: install it, or name an HTTP proxy."
        ) from err
    except (ValueError, httpx2.InvalidURL) as err:
        raise LoadError(
            "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY is not the address of a proxy. Write it as "
            "http://host:3128."
        ) from err


def check_access(repository: Repository) -> None:
    """Ask for a file without fetching it: a licence keeps out who wants files, not who lists them.

    Raises:
        OSError, httpx2.HTTPError: the hub refuses, or cannot be reached.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    for name in sorted(repository.files)[:1]:
        get_hf_file_metadata(hf_hub_url(repository.source, name, revision=repository.commit))


def clear_others(repository: Repository, names: Sequence[str], folder: Path) -> None:
    """Delete what earlier downloads left in a folder and :func:`download` cannot go on with."""
    useful = {folder / name for name in names}
    useful |= {folder / repository.unfinished(name) for name in names}
    for path in folder.rglob("*"):
        if path.is_file() and path not in useful:
            path.unlink()


def download(repository: Repository, names: Sequence[str], folder: Path, *, attempts: int) -> None:
    """Download files into a folder, and go on where an interrupted download stopped.

    Args:
        repository: where from.
        names: which files.
        folder: where to; nobody else may write to it.
        attempts: how often a file is fetched that arrives damaged.

    Raises:
        LoadError: a file is damaged whenever it arrives.
        OSError, httpx2.HTTPError: the hub refuses or cannot be reached, or the folder cannot be
            written.
    """
    with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="download") as pool:
        list(pool.map(lambda name: _download_file(repository, name, folder, attempts), names))


def _download_file(repository: Repository, name: str, folder: Path, attempts: int) -> None:
    file, path = repository.files[name], folder / name
    if file.is_same(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder / repository.unfinished(name)
    if file.size is None:  # nobody can tell whether it is complete
        unfinished.unlink(missing_ok=True)
    elif unfinished.is_file():
        attempts += 1  # what an interruption left may be damaged
    difference = ""
    for _ in range(attempts):
        if not unfinished.is_file() or unfinished.stat().st_size < (file.size or 0):
            _fetch_rest(repository, name, unfinished)
        difference = file.difference(unfinished)
        if not difference:
            unfinished.replace(path)
            return
        log.warning("a file arrived damaged", source=repository.source, file=name, how=difference)
        unfinished.unlink()
    raise LoadError(
        f"A file of {repository.source} arrives damaged: {name} {difference}. A proxy or a mirror "
        "on the way may change it.",
        DAMAGED_AGAIN_S,
    )


def _fetch_rest(repository: Repository, name: str, unfinished: Path) -> None:
    """Append what is missing of a file.

    The hub's client has ``snapshot_download`` for whole repositories, but that begins each file
    anew after an interruption (https://github.com/huggingface/huggingface_hub/issues/4196), and
    its Xet protocol has a cache in the home directory.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()  # our own reports suit a log, too, and reach the heartbeat
    with unfinished.open("ab") as file:
        http_get(
            hf_hub_url(repository.source, name, revision=repository.commit),
            file,
            resume_size=file.tell(),
            # Compressed, a reply has no length, and a range of it is not one of the file.
            headers={**build_hf_headers(), "Accept-Encoding": "identity"},
        )


class Fetched(NamedTuple):
    """How much of a download is on disk, in bytes."""

    source: str
    done: int = 0
    total: int | None = None
    """``None``: the hub is still to be asked."""
    by_another: bool = False
    """Whether another process fetches it, which this one waits for."""

    def __str__(self) -> str:
        """Return it as text for a person."""
        if self.by_another:
            return f"waiting for another process to fetch {self.source}"
        if self.total is None:
            return f"asking for {self.source}"
        percent = f"{100 * self.done / self.total:.0f} % " if self.total else ""
        done, total = self.done / MEGA, self.total / MEGA
        return f"{percent}({done:.0f} of {total:.0f} MB) of {self.source}"


class Watch:
    """Reports every :data:`REPORT_S` how much of a download is on disk."""

    def __init__(
        self, folder: Path, total: int, source: str, report: Callable[[Fetched], None]
    ) -> None:
        """Watch a folder.

        Args:
            folder: where the files are fetched to; it holds nothing else.
            total: their size in bytes.
            source: the repository.
            report: called with the progress.
        """
        self._folder, self._total, self._source, self._report = folder, total, source, report
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(REPORT_S):
            done = min(size_of(self._folder), self._total)  # something longer may arrive
            self._report(Fetched(self._source, done, self._total))


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder, which may be missing."""
    return sum(map(_size, folder.rglob("*")))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:  # renamed between listing and looking
        return 0
