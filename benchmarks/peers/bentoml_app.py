"""BentoML with batches."""

from typing import Any

import bentoml

from benchmarks.peers.served import BATCH, Served


@bentoml.service(workers=1, traffic={"timeout": 60, "max_concurrency": 128})
class Vision:
    """BentoML's interface of a model."""

    def __init__(self) -> None:
        """Load the model."""
        self.served = Served()

    @bentoml.api(batchable=True, max_batch_size=BATCH, max_latency_ms=60_000)  # type: ignore[untyped-decorator]
    def predict(self, images: list[str]) -> list[dict[str, Any]]:
        """Answer a batch."""
        return self.served.answer(images)
