"""Loads the model of the model process: weights on disk, damage mended, first call, and reports."""

from multiprocessing.connection import Connection
from pathlib import Path

import structlog

from shared.model_spec import ModelSpec
from shared.settings import Settings
from shared.vocabulary import WorkerState
from workers.model import memory
from workers.model.cpu_threads import usable_cores
from workers.model.device_errors import is_out_of_memory
from workers.model.family import LoadContext, LoadError, PartDamaged, VisionModel, brief, load_model
from workers.model.hub import Fetched
from workers.model.protocol import StateReport
from workers.model.warm_up import warm_up
from workers.model.weights import Report, ensure_weights, refetch
from workers.preparing.frames import send

MAX_REASON_CHARS = 500

log = structlog.get_logger(__name__)


def load(pipe: Connection, settings: Settings, spec: ModelSpec) -> VisionModel:
    """Load a model with its weights, reporting what is done; damaged files are fetched again once.

    Raises:
        LoadError: with advice; any other exception is a fault of the weights or a bug.
    """

    def report_download(fetched: Fetched) -> None:
        log.info("downloading", model=spec.name, progress=str(fetched))
        send(pipe, StateReport(state=WorkerState.DOWNLOADING, reason=str(fetched)))

    if not (spec.source or spec.files):
        return _start(pipe, settings, spec, None)
    folder = ensure_weights(spec, settings.models_dir, report_download)
    try:
        return _start(pipe, settings, spec, folder)
    except PartDamaged as err:
        if not spec.source:
            raise
        _mend(settings, spec, err, report_download)
    memory.release()  # of the model that was of no use
    return _start(pipe, settings, spec, folder)


def _mend(settings: Settings, spec: ModelSpec, damage: PartDamaged, report: Report) -> None:
    """Fetch the files of a damaged part again, once; raise when that changes nothing."""
    log.warning("a part of the model is damaged", reason=str(damage))
    try:
        is_mended = refetch(spec, settings.models_dir, damage.files, report)
    except LoadError as err:
        raise LoadError(f"{damage} {err}", err.retry_in_s) from err
    if not is_mended:
        raise damage


def _start(
    pipe: Connection, settings: Settings, spec: ModelSpec, folder: Path | None
) -> VisionModel:
    def report(progress: str) -> None:
        send(pipe, StateReport(state=WorkerState.LOADING, reason=progress))

    report("")
    share = max(1, usable_cores() // max(1, len(settings.models)))
    threads = settings.torch_threads
    model = load_model(
        LoadContext(spec, folder, settings.device, threads, settings.ollama, share, report)
    )
    warm_up(model, spec, folder)
    return model


def failure_report(err: Exception) -> StateReport:
    """Log why loading failed, and return it as the state that operators see."""
    if isinstance(err, LoadError):  # whoever raised it said all in a sentence
        reason, retry_in_s = _one_line(str(err)), err.retry_in_s
        if retry_in_s:
            minutes = f"{retry_in_s / 60:.0f}"
            reason += f" The next try is in {minutes} minutes, or when the model is recycled."
        log.error("load failed", reason=reason, cause=_root_cause(err))
    else:
        reason, retry_in_s = _one_line(f"{type(err).__name__}: {err}"), 0.0
        log.error("load failed", reason=reason, exc_info=err)
    if is_out_of_memory(err):
        reason = f"not enough memory ({reason})"
    return StateReport(state=WorkerState.FAILED, reason=reason, retry_in_s=retry_in_s)


def _root_cause(err: BaseException) -> str | None:
    while err.__cause__:
        err = err.__cause__
    return None if isinstance(err, LoadError) else brief(err)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:MAX_REASON_CHARS]
