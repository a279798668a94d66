"""The attacks of ``make prove``, in their short form."""

from collections.abc import Iterator

import pytest

from benchmarks.prove.__main__ import ATTACKS, prove
from benchmarks.prove.service import Service, running_service

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("prove"), long=False) as running:
        yield running


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_costs_no_other_client_its_answer(service: Service, name: str) -> None:
    complaints = [text for case in prove(service, name) for text in case.complaints]
    assert complaints == []
