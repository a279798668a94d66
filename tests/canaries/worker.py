"""A Celery worker as small as can be, with what ours leans on; it tells by a list in Redis.

``python -m tests.canaries.worker NAME``: consumes ``canary`` once it is told to. Its task ``hold``
waits for a word: ``reject`` has the message go back on the queue, another one ends the task.
"""

import json
import sys
from typing import Any

from celery import Celery, signals
from celery.exceptions import Reject
from celery.worker import state

from shared.celery_app import make_celery
from shared.redis.connection import connect
from shared.settings import get_settings
from workers.consumer import kombu_guard

QUEUE, NEWS, WORDS = "canary", "canary-news", "canary-words"


def main(name: str) -> None:
    settings = get_settings()
    kombu_guard.install()
    app = make_celery(settings, worker=True)
    redis = connect(settings.broker_url)

    def tell(**news: Any) -> None:
        redis.rpush(NEWS, json.dumps(news))

    _wire(app, tell)

    @app.task(name="hold", bind=True)
    def hold(self: Any) -> None:
        reserved = [held.id for held in list(state.reserved_requests)]
        tell(running=self.request.id, reserved=reserved)
        word: Any = None
        while word is None:
            word = redis.blpop([WORDS], timeout=1)
        if word[1] == b"reject":
            raise Reject("as told", requeue=True)

    options = [f"--queues={QUEUE}", f"--hostname={name}", "--pool=threads", "--concurrency=1"]
    app.worker_main(["--quiet", "worker", "--without-gossip", "--without-mingle", *options])


def _wire(app: Celery, tell: Any) -> None:
    @signals.celeryd_after_setup.connect(weak=False)
    def wait(instance: Any, **_: Any) -> None:
        instance.app.amqp.queues.deselect(QUEUE)

    @signals.worker_ready.connect(weak=False)
    def ready(sender: Any, **_: Any) -> None:
        consumes = sender.task_consumer.consuming_from(QUEUE)
        tell(ready=consumes, same_app=sender.app is app)

    @signals.task_received.connect(weak=False)
    def received(sender: Any, request: Any, **_: Any) -> None:
        tell(
            received=request.id,
            consumes=sender.task_consumer.consuming_from(QUEUE),
        )


if __name__ == "__main__":
    main(sys.argv[1])
