"""Admission: refuses requests that no worker will answer in time."""

from shared.errors import ModelUnavailable, Overloaded
from shared.model_spec import ModelSpec
from shared.redis.presence import Presence
from shared.vocabulary import Priority


def check_served(spec: ModelSpec, presence: Presence) -> None:
    """Raise an error unless a worker serves the model, or is probably just restarting.

    Raises:
        ModelUnavailable: there is no worker, or all of them failed to load or still download.
    """
    if not presence.workers:
        if presence.seen:
            return
        raise ModelUnavailable(
            f"No worker serves {spec.name}. Start one (VISION_MODELS={spec.queue_owner})."
        )
    if not any(worker.state.serves for worker in presence.workers):
        first = presence.workers[0]
        raise ModelUnavailable(f"{spec.name} is {first.state}: {first.reason or 'no details'}")


def check_queue(spec: ModelSpec, presence: Presence, priority: Priority) -> None:
    """Raise an error if the model's queue for requests of a priority is full.

    Raises:
        Overloaded: as many requests are waiting as the model's row allows.
    """
    if queue_room(spec, presence, priority) <= 0:
        waiting = presence.waiting(priority)
        kind = "bulk request" if priority is Priority.BULK else "request"
        what = f"1 {kind} is" if waiting == 1 else f"{waiting} {kind}s are"
        raise Overloaded(f"{what} waiting for {spec.name}. Try again later.")


def queue_room(spec: ModelSpec, presence: Presence, priority: Priority) -> int:
    """Return how many more requests of a priority may wait for the model."""
    return spec.limits.queue - presence.waiting(priority)
