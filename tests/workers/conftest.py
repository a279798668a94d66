"""Fixtures for tests of what a worker's processes do."""

from collections.abc import Iterator

import pytest

from tests.hub_standin import HubStandIn
from tests.model_process import ModelProcess, model_process_with_hub


@pytest.fixture(scope="session")
def _model_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelProcess]:
    with model_process_with_hub(tmp_path_factory.mktemp("home")) as process:
        yield process


@pytest.fixture
def model_process(_model_process: ModelProcess) -> ModelProcess:
    """A model process whose hub has no repositories yet."""
    _model_process.hub.reset()
    return _model_process


@pytest.fixture
def hub(model_process: ModelProcess) -> HubStandIn:
    """The hub of the model process."""
    return model_process.hub
