"""What is said of Redis' errors, and which of them are waited out."""

import ssl
from typing import Any

import pytest
import redis
from kombu.exceptions import OperationalError
from redis._parsers.base import BaseParser

from shared.redis.faults import describe, passes_by_itself

ANSWERS = {
    "READONLY You can't write against a read only replica.": True,
    "MISCONF Redis is configured to save RDB snapshots, but it's unable to persist": True,
    "LOADING Redis is loading the dataset in memory": True,
    "OOM command not allowed when used memory > 'maxmemory'.": True,
    "NOREPLICAS Not enough good replicas to write.": True,
    "CLUSTERDOWN The cluster is down": True,
    "MASTERDOWN Link with MASTER is down": True,
    "BUSY Redis is busy running a script.": True,
    "UNBLOCKED force unblock from blocking operation, instance state changed": True,
    "NOAUTH Authentication required.": False,
    "WRONGPASS invalid username-password pair or user is disabled.": False,
    "NOPERM this user has no permissions to run the 'set' command": False,
    "WRONGTYPE Operation against a key holding the wrong kind of value": False,
    "ERR unknown command 'FOO'": False,
}


def parsed(answer: str) -> Exception:
    """The error that redis-py makes of an answer."""
    parser: Any = BaseParser
    error = parser.parse_error(answer)
    assert isinstance(error, redis.RedisError)
    return error


@pytest.mark.parametrize(("answer", "passes"), ANSWERS.items(), ids=lambda value: str(value)[:9])
def test_a_refusal_is_given_in_redis_own_words(answer: str, passes: bool) -> None:  # noqa: FBT001
    assert describe(parsed(answer)) == f"Redis refuses: {answer.rstrip('.')}."
    assert passes_by_itself(parsed(answer)) is passes


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (redis.ConnectionError("Error 111 connecting to h:1. Refused."), "cannot be reached"),
        (redis.TimeoutError("Timeout reading from h:1"), "does not answer"),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), "cannot be reached."),
        (OSError(104, "Connection reset by peer"), "cannot be reached"),
        (RuntimeError("Retry limit exceeded"), "cannot be reached"),
    ],
)
def test_a_redis_that_is_away_passes(error: Exception, words: str) -> None:
    assert words in describe(error)
    assert passes_by_itself(error)


def test_the_cause_is_found_behind_the_error_of_another_library() -> None:
    error = OperationalError("wrapped")
    error.__cause__ = parsed("NOAUTH Authentication required.")
    assert describe(error) == "Redis refuses: NOAUTH Authentication required."
    assert not passes_by_itself(error)


def test_the_command_of_a_pipeline_is_not_repeated_as_it_may_hold_a_part_of_an_image() -> None:
    text = "Command # 1 (SET vision:image:x secret) of pipeline caused error: command not allowed"
    error = redis.exceptions.OutOfMemoryError(text, status_code="OOM")
    assert describe(error) == "Redis refuses: OOM command not allowed."


def test_the_arguments_of_a_command_that_redis_does_not_know_are_not_told() -> None:
    answer = "ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'default' 'secret'"
    assert describe(parsed(answer)) == "Redis refuses: ERR unknown command 'HELLO'."
