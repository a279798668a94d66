"""Tables of models, workers and runs."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from rich.table import Table
from rich.text import Text

from vision.schemas import Model, Run, Worker

STYLES = {
    "ready": "green", "busy": "green", "unloaded": "cyan", "loading": "yellow",
    "downloading": "yellow", "degraded": "yellow", "failed": "red",
}  # fmt: skip
NOT_RUNNING = "not running"


def models_table(models: Iterable[Model], missing: Mapping[str, str]) -> Table:
    """Return a row for each model.

    Args:
        models: the models.
        missing: why those do not serve that should, by name.
    """
    table = _table("Model", "Tasks", "State", "Workers", "Device", "Queue", "Memory")
    for model in models:
        table.add_row(
            model.name,
            _tasks(model),
            _state(model, missing.get(model.name, "")),
            str(len(model.workers)) if model.workers else "–",
            _distinct(device(worker) for worker in model.workers),
            model.queue if model.workers or model.queued else "–",
            _distinct(memory(worker) for worker in model.workers),
        )
    return table


def runs_table(runs: Iterable[Run]) -> Table:
    """Return a row for each run of bulk work that has not ended."""
    table = _table("Run", "State", "Photos", "Of", "Failed", "Per hour", "Left")
    for run in runs:
        table.add_row(
            Text(run.name),
            "stopped reporting" if run.is_silent else run.state,
            *(f"{n:,}" for n in (run.done, run.total, run.failed)),
            f"{run.per_hour:,.0f}" if run.per_hour is not None else "–",
            str(timedelta(seconds=round(run.left_s))) if run.left_s is not None else "–",
        )
    return table


def workers_table(models: Iterable[Model]) -> Table:
    """Return a row for each worker, with what it does now."""
    table = _table(
        "Worker", "State", "Device", "Queue", "Held", "Images", "per s", "Busy", "Queued ms",
        "Prepare ms", "Predict ms", "Batch", "Memory", "Replaced",
    )  # fmt: skip
    for model in models:
        for worker in model.workers:
            table.add_row(
                worker.worker,
                _worded(worker.state, worker.reason),
                device(worker),
                model.queue,
                *(str(n) for n in (worker.held, worker.images)),
                f"{worker.images_per_s:.1f}",
                f"{worker.utilisation:.0%}",
                *(f"{ms:.0f}" for ms in (worker.queue_ms, worker.prepare_ms, worker.predict_ms)),
                str(worker.max_batch),
                memory(worker),
                ", ".join(f"{n} × {why}" for why, n in worker.recycles.items()) or "–",
            )
    if not table.row_count:
        table.add_row(Text("No worker runs."))
    return table


def megabytes(amount: float) -> str:
    """Return an amount of memory, given in MB, as people write it."""
    return f"{amount / 1000:.1f} GB" if amount >= 1000 else f"{amount:.0f} MB"


def device(worker: Worker) -> str:
    """Return what a worker's model runs on; empty: not known yet."""
    if worker.hosts:
        up = sum(bool(host.get("up")) for host in worker.hosts)
        return f"{up} of {len(worker.hosts)} servers"
    return worker.device


def memory(worker: Worker) -> str:
    """Return what a worker's model takes, and what there is; empty: nothing."""
    if not worker.memory_mb:
        return ""
    limit = f" of {megabytes(worker.memory_limit_mb)}" if worker.memory_limit_mb else ""
    return megabytes(worker.memory_mb) + limit


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _tasks(model: Model) -> str:
    """Return the tasks; those that the model does when none is named have a star."""
    return ", ".join(f"{task}*" if task in model.default_for else task for task in model.tasks)


def _state(model: Model, missing: str) -> Text:
    if not model.workers:
        return Text(missing or NOT_RUNNING, style="red" if missing else "dim")
    return _joined(
        _worded(state, reason, count)
        for (state, reason), count in Counter(
            (worker.state, worker.reason) for worker in model.workers
        ).items()
    )


def _worded(state: str, reason: str, count: int = 1) -> Text:
    text = Text(f"{state} × {count}" if count > 1 else state, style=STYLES.get(state, ""))
    return text.append(f" {reason}", style="default") if reason else text


def _joined(texts: Iterable[Text]) -> Text:
    return Text("\n").join(texts)


def _distinct(words: Iterable[str]) -> str:
    found: Sequence[str] = list(dict.fromkeys(word for word in words if word))
    return "\n".join(found) or "–"
