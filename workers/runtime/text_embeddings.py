"""Embeddings of texts, computed once and kept in files beside the models.

A file's name is a hash of all that its content depends on, so that none is ever out of date. What
is written is complete, because a file gets its name last.
"""

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import structlog
import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load, save

from workers.model.checkpoint import SHARDS, TOKENIZER_TEXTS, VOCABULARIES, WEIGHTS, present_files
from workers.model.family import brief

log = structlog.get_logger(__name__)
MAX_FILES = 8
"""For each model: some vocabularies and dtypes; the files used longest ago are deleted."""
PARTIAL = ".partial"
"""How the names of files end that are being written."""
ABANDONED_S = 600.0
"""Age from which such a file is of a process that was killed: writing one takes no second."""
FORMAT = "1"
NAME = "embeddings"
SAMPLES, SAMPLE_BYTES = 512, 4096
"""Of a file of weights, so many parts at equal distances are hashed: the whole may be gigabytes,
and training changes all weights."""


def cached(
    checkpoint: Path,
    parts: Sequence[str],
    shape: tuple[int, int],
    compute: Callable[[], torch.Tensor],
) -> torch.Tensor:
    """Return embeddings from a file, or compute them and write it.

    Args:
        checkpoint: the model's folder. The files are kept beside it; in the folder for temporary
            files if nothing can be written there.
        parts: all that the embeddings depend on beside the checkpoint.
        shape: of the embeddings.
        compute: returns the embeddings, float32, on the CPU.
    """
    name = f"{key(checkpoint, parts)}.safetensors"
    folders = list(_folders(checkpoint))
    for folder in folders:
        _clear_abandoned(folder)
        found = _read(folder / name, shape)
        if found is not None:
            return found
    embeddings = compute()
    for folder in folders:
        if _write(folder / name, embeddings):
            break
    return embeddings


def key(checkpoint: Path, parts: Sequence[str]) -> str:
    """Return a hash of a checkpoint's content and of what else embeddings depend on."""
    digest = hashlib.sha256()
    for part in (FORMAT, transformers.__version__, *parts):
        digest.update(f"{len(part)}:{part}".encode())
    small = present_files(checkpoint, ("config.json", *TOKENIZER_TEXTS, *VOCABULARIES))
    for name in sorted(set(small)):
        digest.update(name.encode() + hashlib.sha256((checkpoint / name).read_bytes()).digest())
    for name in sorted(set(present_files(checkpoint, (*WEIGHTS, *SHARDS)))):
        digest.update(name.encode())
        for sample in _samples(checkpoint / name):
            digest.update(sample)
    return digest.hexdigest()[:32]


def _samples(path: Path) -> Iterator[bytes]:
    """Yield a file's size, and parts of it from its beginning to its end."""
    size = path.stat().st_size
    yield str(size).encode()
    with path.open("rb") as file:
        for number in range(SAMPLES + 1):
            file.seek(max(size - SAMPLE_BYTES, 0) * number // SAMPLES)
            yield file.read(SAMPLE_BYTES)


def _folders(checkpoint: Path) -> Iterator[Path]:
    """Yield where the files may be: beside the checkpoint, and in a folder that is only ours.

    In the folder for temporary files any user may create a folder, or a link, of that name.
    """
    yield checkpoint.with_name(f"{checkpoint.name}.embeddings")
    user = os.getuid()
    own = Path(tempfile.gettempdir()) / f"vision-workers-{user}-{checkpoint.name}.embeddings"
    try:
        if own.lstat().st_uid != user or own.is_symlink():
            log.warning("embeddings are not kept in a folder of others", folder=str(own))
            return
    except FileNotFoundError:
        pass
    yield own


def _read(path: Path, shape: tuple[int, int]) -> torch.Tensor | None:
    try:
        content = path.read_bytes()
        found = load(content).get(NAME)
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError) as err:
        log.warning("embeddings cannot be read", file=str(path), cause=brief(err))
        return None
    if found is None or tuple(found.shape) != shape or found.dtype != torch.float32:
        log.warning("embeddings have another shape", file=str(path))
        return None
    try:
        path.touch()  # it was used
    except OSError:
        log.debug("read-only embeddings", file=str(path))
    return found


def _write(path: Path, embeddings: torch.Tensor) -> bool:
    """Write a file and delete those used longest ago; return whether that was possible."""
    try:
        path.parent.mkdir(mode=0o755, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, suffix=PARTIAL)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, 0o644)  # workers of other users may share the models
                file.write(save({NAME: embeddings.contiguous()}))
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
        _keep_newest(path.parent)
    except OSError as err:
        log.info("embeddings are not kept here", folder=str(path.parent), cause=brief(err))
        return False
    log.info("embeddings kept", file=str(path), texts=len(embeddings))
    return True


def _keep_newest(folder: Path) -> None:
    files = sorted(folder.glob("*.safetensors"), key=lambda file: file.stat().st_mtime)
    for old in files[:-MAX_FILES]:
        old.unlink(missing_ok=True)


def _clear_abandoned(folder: Path) -> None:
    """Delete what killed processes had begun to write."""
    with contextlib.suppress(OSError):  # such as of a folder that cannot be written
        for file in folder.glob(f"*{PARTIAL}"):
            if time.time() - file.stat().st_mtime > ABANDONED_S:
                file.unlink(missing_ok=True)
