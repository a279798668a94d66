"""What a request leaves in Redis when its client hangs up."""

import time
from collections.abc import Callable, Iterator

import pytest

from api.dispatch import PublishedJob
from api.http.client_connection import ClientGone, hold_nothing
from shared.celery_app import make_celery
from shared.messages import Job
from shared.redis.publishing import Publisher
from shared.settings import Settings
from tests.stack import Stack, running_stack


class GoneClient:
    """A client that hung up before anybody told who waits for it; keeps all that it was told."""

    is_gone = True

    def __init__(self) -> None:
        self.told: list[Callable[[], object]] = []
        self.hold: Callable[[int], object] = hold_nothing

    @property
    def when_gone(self) -> Callable[[], object]:
        """What to call."""
        return self.told[-1]

    @when_gone.setter
    def when_gone(self, call: Callable[[], object]) -> None:
        self.told.append(call)


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Redis of our own, whose keys are looked at."""
    with running_stack(tmp_path_factory.mktemp("dispatch")) as running:
        yield running


def test_news_of_a_hang_up_that_come_late_leave_nothing_behind(stack: Stack) -> None:
    app = make_celery(Settings(redis_url=stack.redis_url), worker=False)
    job = Job(request_id="r", tasks=("caption",), deadline=time.time() + 30)
    spec, client = stack.catalog.get("slow"), GoneClient()
    publisher = Publisher(app, stack.product_redis)
    published = PublishedJob(publisher, stack.store, spec, job, [b"image"], stack.store.presence.of)
    published.publish()
    with pytest.raises(ClientGone):
        published.wait(client)
    published.close()
    client.told[0]()
    assert not stack.redis.keys("vision:reply:*")
    assert not hasattr(client.when_gone, "__self__")  # so the connection does not keep the images
