"""Runs jobs on Ollama servers: each is a task of the engine's event loop."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial

import redis
import structlog

from shared.catalog import Catalog
from shared.errors import BadRequest, ModelFailed, VisionError
from shared.images.several import ReadImages, read_each
from shared.messages import JobTimes, JsonObject, OllamaInstructions, Outcome
from shared.redis.store import Store
from shared.settings import Settings
from shared.vocabulary import OllamaCall
from workers.engine.job import Dropped, EngineJob, Requeued
from workers.llm.task_runner import LlmTaskRunner
from workers.preparing.pool import Preparer
from workers.preparing.preparation import Prepared
from workers.remote.client import with_images
from workers.remote.config import model_defaults
from workers.remote.images import PREPARATION
from workers.remote.router import FailoverRouter

log = structlog.get_logger(__name__)

CANCELLED_POLL_S = 1.0
"""How often Redis is asked which jobs have been cancelled."""


class JobRunner:
    """The jobs of an engine, from submission to outcome; used in one event loop."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        store: Store,
        router: FailoverRouter,
        preparer: Preparer,
        on_answer: Callable[[int, float], None],
    ) -> None:
        """Prepare.

        Args:
            settings: the operator's prompts.
            catalog: has the defaults of models.
            store: has the cancellations, and takes parts of streamed replies.
            router: sends requests to the servers.
            preparer: makes images ready for them.
            on_answer: called for each answer with its number of images and its seconds.
        """
        self._environment, self._preparer = settings.ollama, preparer
        self._catalog, self._store = catalog, store
        self._router, self._on_answer = router, on_answer
        self._tasks: dict[asyncio.Task[None], EngineJob] = {}
        self._begun: set[EngineJob] = set()
        """Jobs that a server has got."""
        self._draining = False

    def submit(self, job: EngineJob) -> None:
        """Start a job, whose future will have the outcome."""
        if self._draining:
            job.future.set_exception(Requeued())
            return
        task = asyncio.create_task(self._run(job))
        self._tasks[task] = job
        task.add_done_callback(lambda _: self._tasks.pop(task))

    def drain(self) -> None:
        """Finish the jobs that have begun; requeue all others, now and from now on."""
        self._draining = True
        for task, job in self._tasks.items():
            if job not in self._begun:
                task.cancel()

    async def stop(self, timeout_s: float) -> None:
        """Wait for the running jobs, but end them after ``timeout_s``."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def drop_cancelled(self) -> None:
        """End cancelled jobs, so that servers stop generating; runs until it is cancelled."""
        while True:
            await asyncio.sleep(CANCELLED_POLL_S)
            tasks = dict(self._tasks)
            if not tasks:
                continue
            try:
                ids = [job.task_id for job in tasks.values()]
                cancelled = await asyncio.to_thread(self._store.cancellations.among, ids)
            except redis.RedisError as err:
                log.warning("cannot read cancellations", error=str(err))
                continue
            for task, job in tasks.items():
                if job.task_id in cancelled:
                    task.cancel()

    async def _run(self, job: EngineJob) -> None:
        """Run a job and resolve its future, whatever happens."""
        structlog.contextvars.bind_contextvars(
            request_id=job.message.request_id, task_id=job.task_id
        )
        outcome: BaseException | Outcome
        try:
            async with asyncio.timeout(job.message.deadline - time.time()):
                outcome = await self._outcome(job)
        except TimeoutError:
            outcome = Dropped()
        except asyncio.CancelledError:
            requeued = self._draining and job not in self._begun
            outcome = Requeued() if requeued else Dropped()
        except VisionError as err:
            outcome = err
        except Exception:
            log.exception("bug in the remote engine")
            outcome = ModelFailed("Internal error on the way to Ollama; see the worker's log.")
        self._begun.discard(job)
        if isinstance(outcome, Outcome):
            job.future.set_result(outcome)
        else:
            job.future.set_exception(outcome)

    async def _outcome(self, job: EngineJob) -> Outcome:
        instructions = job.message.ollama
        if instructions is None:
            raise BadRequest("The job names no model of Ollama.")
        if instructions.call == OllamaCall.SHOW:
            return Outcome(raw=await self._router.show(instructions.model, instructions.body))
        read = await self._prepare(job)
        files = [image.content for image in read.images]
        started = time.monotonic()
        if instructions.call == OllamaCall.VISION:
            outcome = await self._run_tasks(job, instructions, files)
            outcome = Outcome(outcome.result.with_unreadable(read.unreadable))
        else:  # Ollama's own API knows no request of which a part is answered
            read.all_images()
            outcome = await self._pass_through(job, instructions, files)
        now = time.monotonic()
        prepare_s = sum(image.seconds for image in read.images)
        job.times = JobTimes.split(now - job.accepted_at, prepare_s, now - started)
        self._on_answer(len(read.images), now - started)
        return outcome

    async def _prepare(self, job: EngineJob) -> ReadImages[Prepared]:
        """Have images made ready for servers; when the job is cancelled, what waits is too."""
        priority = job.message.priority
        prepared = [self._preparer.submit(image, PREPARATION, priority) for image in job.images]
        try:
            # asyncio reports errors that nobody takes from its own futures as bugs.
            await asyncio.gather(*map(asyncio.wrap_future, prepared), return_exceptions=True)
        finally:
            for image in prepared:
                image.cancel()
        return read_each(lambda image: image.result(), prepared)

    async def _run_tasks(
        self, job: EngineJob, instructions: OllamaInstructions, images: Sequence[bytes]
    ) -> Outcome:
        """Run the vision tasks of a job."""

        async def generate(body: JsonObject) -> JsonObject:
            on_begin = partial(self._begun.add, job)
            priority = job.message.priority
            return await self._router.generate(
                OllamaCall.GENERATE, body, on_begin, priority=priority
            )

        defaults = model_defaults(self._catalog, instructions.model)
        runner = LlmTaskRunner(job.message, defaults, self._environment, generate)
        return Outcome(await runner.run(images))

    async def _pass_through(
        self, job: EngineJob, instructions: OllamaInstructions, images: Sequence[bytes]
    ) -> Outcome:
        """Pass a request in Ollama's own form on to a server."""
        body = {**with_images(instructions.body, images), "model": instructions.model}
        on_begin = partial(self._begun.add, job)
        on_part = partial(self._push_part, job.task_id) if instructions.stream else None
        priority = job.message.priority
        raw = await self._router.generate(instructions.call, body, on_begin, on_part, priority)
        return Outcome(raw=raw)

    async def _push_part(self, task_id: str, part: JsonObject) -> None:
        await asyncio.to_thread(self._store.replies.push_part, task_id, part)
