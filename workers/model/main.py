"""The model process: loads one model and answers batches until its pipe closes.

CUDA and torch are confined to this process, which the fork server forks after it has imported this
module and the family's.

Two threads: one receives commands and pixels, and does nothing else that would keep the main
thread, which runs the model, from Python's lock.
"""

import os
import queue
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection

import structlog

from shared.allocator import retain_freed_memory
from shared.errors import ModelFailed, NothingFound, VisionError
from shared.log import configure_logging
from shared.messages import Instructions, Result
from shared.model_spec import ModelSpec
from shared.settings import Settings
from shared.vocabulary import WorkerState
from workers.model import memory
from workers.model.device_errors import is_device_fault, is_out_of_memory
from workers.model.energy import read_card
from workers.model.family import (
    GeneratingModel,
    PerImageModel,
    PreparedJob,
    RefusingModel,
    VisionModel,
)
from workers.model.loading import failure_report, load
from workers.model.protocol import (
    BatchReport,
    Forget,
    JobError,
    ModelFacts,
    Run,
    StateReport,
    receive_command,
)
from workers.model.stopwatch import Stopwatch
from workers.preparing.frames import send
from workers.preparing.preparation import Prepared

log = structlog.get_logger(__name__)

MODEL_FAILED = JobError(error=ModelFailed.__name__, message="The model failed on this request.")

Inputs = Sequence[object] | JobError
"""The model inputs of a job's images, or the reason why there are none."""


def main(pipe: Connection, settings: Settings, spec: ModelSpec) -> None:
    """Load the model, report it, and answer batches; the process ends when the pipe closes.

    The fork server calls it in a new process.
    """
    configure_logging(settings, "model", model=spec.name)
    retain_freed_memory()
    try:
        model = load(pipe, settings, spec)
    except Exception as err:  # noqa: BLE001 - operators see its text as the reason
        send(pipe, failure_report(err))
        return
    send(pipe, StateReport(state=WorkerState.READY, memory=memory.measure(), facts=_facts(model)))
    ModelServer(pipe, model).serve()


class ModelServer:
    """Receives the images of the next batch while one runs, and runs batches."""

    def __init__(self, pipe: Connection, model: VisionModel) -> None:
        self._pipe, self._model = pipe, model
        self._held: dict[str, list[Prepared]] = {}
        self._runs: queue.SimpleQueue[Run] = queue.SimpleQueue()

    def serve(self) -> None:
        """Run batches for ever; the reading thread ends the process when the parent is gone."""
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        while True:
            run = self._runs.get()
            jobs = [prepare(self._model, self._held.pop(job)) for job in run.jobs]
            report = run_batch(self._model, jobs, run.instructions, run.max_images)
            send(self._pipe, report)

    def _read(self) -> None:
        while True:
            try:
                command, images = receive_command(self._pipe)
            except (EOFError, OSError):
                os._exit(0)
            self._held.update(images)
            if isinstance(command, Forget):
                self._held.pop(command.job, None)
            elif isinstance(command, Run):
                self._runs.put(command)


def prepare(model: VisionModel, images: Sequence[Prepared]) -> Inputs:
    """Turn the prepared images of a job into model inputs."""
    try:
        return [model.prepare(image) for image in images]
    except Exception:
        log.exception("prepare failed")
        return MODEL_FAILED


def run_batch(
    model: VisionModel,
    jobs: Sequence[Inputs],
    instructions: Sequence[Instructions],
    max_images: int,
) -> BatchReport:
    """Run the model once over all jobs that could be prepared, each with its instructions.

    A job that could not be prepared, or that the model refuses, fails alone; when the model raises,
    all others fail. The report has one outcome per job, in order, unless it names a fault of the
    process.
    """
    jobs = [_refusal(model, asked) or job for job, asked in zip(jobs, instructions, strict=True)]
    ready = [
        PreparedJob(job, asked)
        for job, asked in zip(jobs, instructions, strict=True)
        if not isinstance(job, JobError)
    ]
    images = sum(len(job.images) for job in ready)
    watch, steps = Stopwatch(), _steps(model)
    results: list[Result | JobError] = []
    fault = ""
    if ready:
        try:
            answered = _answered(model, ready, max_images)  # Step 6: predict.
            if len(answered) != len(ready):
                msg = f"{len(answered)} results for {len(ready)} jobs"
                raise RuntimeError(msg)  # noqa: TRY301 - logged like any other fault of a model
            results += map(_with_answers, answered, [job.instructions for job in ready])
        except Exception as err:
            log.exception("predict failed", images=images)
            fault = _fault(err)
            results = [MODEL_FAILED] * len(ready)
    if fault == "out_of_memory":
        memory.release()  # only here: the exception's traceback kept the failed batch alive
    left = iter(results)
    outcomes = () if fault else tuple(x if isinstance(x, JobError) else next(left) for x in jobs)
    return BatchReport.model_validate(
        {
            "outcomes": outcomes,
            "fault": fault,
            "images": images,
            "steps": _steps(model) - steps,
            "seconds": watch.elapsed_s(),
            "alone_seconds": watch.alone_s(),
            "acceleration": model.acceleration if isinstance(model, GeneratingModel) else "",
            "memory": memory.measure(),
            "card": read_card(),
        }
    )


def _facts(model: VisionModel) -> ModelFacts:
    named = model.accelerator if isinstance(model, GeneratingModel) else ""
    accelerator = named or memory.accelerator()
    return ModelFacts(
        per_image=isinstance(model, PerImageModel),
        device=accelerator or "CPU",
        on_accelerator=bool(accelerator),
        preparation=model.preparation,
    )


def _steps(model: VisionModel) -> int:
    return model.steps if isinstance(model, GeneratingModel) else 0


def _answered(
    model: VisionModel, jobs: Sequence[PreparedJob], max_images: int
) -> Sequence[Result | VisionError]:
    if isinstance(model, RefusingModel):
        return model.predict_or_refuse(jobs, max_images)
    return model.predict(jobs, max_images)


def _with_answers(result: Result | VisionError, instructions: Instructions) -> Result | JobError:
    """Return a result, or an error if it has no answer to any task: that would be no success."""
    if isinstance(result, VisionError):
        return _job_error(result)
    tasks = instructions.tasks
    if not tasks or any(result.get(task) is not None for task in tasks):
        return result
    message = f"The model found no {' or '.join(tasks)} for this image."
    return JobError(error=NothingFound.__name__, message=message)


def _refusal(model: VisionModel, instructions: Instructions) -> JobError | None:
    try:
        if isinstance(model, GeneratingModel):
            model.check(instructions)
    except VisionError as err:
        return _job_error(err)
    except Exception:
        log.exception("check failed")
        return MODEL_FAILED
    return None


def _job_error(err: VisionError) -> JobError:
    return JobError(error=type(err).__name__, message=err.message)


def _fault(err: Exception) -> str:
    if is_out_of_memory(err):
        return "out_of_memory"
    return "device" if is_device_fault(err) else ""
