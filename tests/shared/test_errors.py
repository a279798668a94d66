import inspect
import re
from typing import Any, cast

import pytest
from celery import Celery
from celery.backends.base import Backend

from shared import errors
from shared.errors import VisionError

CLASSES = [
    member
    for _, member in inspect.getmembers(errors, inspect.isclass)
    if issubclass(member, VisionError)
]
DOCUMENTED = {
    name: (int(status), meaning.strip())
    for name, status, meaning in re.findall(
        r"(\w+) +([45]\d\d)  (.+)", inspect.getdoc(errors) or ""
    )
}


def through_celery(error: Exception) -> BaseException:
    """Return the exception that a client's ``get`` has when a worker's task raised ``error``."""
    app = Celery("test", set_as_current=False, broker="memory://")
    backend: Any = Backend(app, serializer="json")
    stored = backend.encode(backend.prepare_exception(error))
    return cast("BaseException", backend.exception_to_python(backend.decode(stored)))


def test_the_docstring_lists_every_class_and_no_other() -> None:
    assert set(DOCUMENTED) == {member.__name__ for member in CLASSES}


def test_no_two_errors_have_the_same_meaning() -> None:
    meanings = [meaning for _, meaning in DOCUMENTED.values()]

    assert len(set(meanings)) == len(meanings)


@pytest.mark.parametrize("member", CLASSES)
def test_an_error_has_the_status_that_the_docstring_lists(member: type[VisionError]) -> None:
    status, _ = DOCUMENTED[member.__name__]

    assert member.status == status
    assert 400 <= member.status <= 599


@pytest.mark.parametrize("member", CLASSES)
def test_an_error_takes_a_message_and_nothing_else(member: type[VisionError]) -> None:
    parameters = list(inspect.signature(member).parameters)

    error = member("What is wrong.")

    assert parameters == ["message"]
    assert (error.message, str(error)) == ("What is wrong.", "What is wrong.")


@pytest.mark.parametrize("member", CLASSES)
@pytest.mark.parametrize(
    "message",
    [
        pytest.param("The image is empty.", id="plain"),
        pytest.param('Kein Bild: "ü" \\ 🐈\n— {0} %s', id="odd-characters"),
        pytest.param("", id="empty"),
    ],
)
def test_an_error_crosses_celery_as_the_same_class_with_the_same_message(
    member: type[VisionError], message: str
) -> None:
    arrived = through_celery(member(message))

    assert type(arrived) is member
    assert arrived.message == message


def test_only_overload_and_outages_have_a_retry_after() -> None:
    retried = {member.__name__ for member in CLASSES if member.retry_after_s is not None}

    assert retried == {"Overloaded", "ModelUnavailable", "BrokerUnavailable"}
