"""The model that all peers serve: our own class, without our queue, engine and processes."""

import base64
import math
import os
from collections.abc import Sequence
from typing import Any

from shared.messages import Instructions
from shared.model_spec import ModelSpec
from workers.model.cpu_threads import spin_briefly
from workers.model.family import LoadContext, PreparedJob, load_model

ROW, THREADS, PORT, REDIS = "PEERS_ROW", "PEERS_THREADS", "PEERS_PORT", "PEERS_REDIS"
"""Variables of the environment: a row of the catalogue as JSON, threads of the model, where to
listen, and a Redis for those that need one."""
BATCH = 8
"""Most requests in a batch, for servers that form batches."""


class Served:
    """Answers images in data URLs for all tasks of the model."""

    def __init__(self) -> None:
        """Load the model that the environment names."""
        spin_briefly()
        spec = ModelSpec.model_validate_json(os.environ[ROW])
        self._model = load_model(LoadContext(spec, None, "cpu", int(os.environ[THREADS])))
        self._instructions = Instructions(tasks=spec.tasks)

    def answer(self, data_urls: Sequence[str]) -> list[dict[str, Any]]:
        """Answer each image, all in one batch."""
        jobs = [PreparedJob([self._prepared(url)], self._instructions) for url in data_urls]
        results = self._model.predict(jobs, len(jobs))
        return [result.model_dump(mode="json") for result in results]

    def _prepared(self, data_url: str) -> Any:  # noqa: ANN401 - the family's own
        photo = base64.b64decode(data_url.partition(",")[2])
        return self._model.prepare(self._model.preparation.run(photo, math.inf))
