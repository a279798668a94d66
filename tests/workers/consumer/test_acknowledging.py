"""Celery's main thread is woken for an acknowledgement only where somebody waits for that."""

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kombu import Connection
from kombu.asynchronous import Hub

from workers.consumer.acknowledging import QuietConsumer

log = logging.getLogger(__name__)


@pytest.fixture
def channel() -> Iterator[Any]:
    with Connection("memory://") as connection:
        channel: Any = connection.channel()
        channel.queue_declare("jobs")
        channel.basic_qos(0, 2, False)  # noqa: FBT003 - kombu's signature
        yield channel


def consumer() -> Any:
    made: Any = QuietConsumer.__new__(QuietConsumer)
    made.hub = Hub()
    return made


def received(channel: Any) -> Any:
    channel.basic_publish(channel.prepare_message("body"), "", "jobs")
    return channel.basic_get("jobs")


def in_another_thread(call: Any, *args: object) -> None:
    thread = threading.Thread(target=call, args=args)
    thread.start()
    thread.join()


def is_woken(consumer: Any) -> bool:
    return bool(consumer.hub._wake_pending)


def turn(consumer: Any) -> None:
    for call in consumer.hub._pop_ready():
        call()


def test_a_message_is_acknowledged_at_the_next_turn_of_the_loop(channel: Any) -> None:
    quiet, message = consumer(), received(channel)
    in_another_thread(quiet.call_soon_ack, message.ack_log_error, log, ())
    assert not is_woken(quiet)
    assert not message.acknowledged
    turn(quiet)
    assert message.acknowledged


def test_it_is_urgent_where_there_is_no_room_for_another(channel: Any) -> None:
    quiet, messages = consumer(), [received(channel) for _ in range(2)]
    in_another_thread(quiet.call_soon_ack, messages[0].ack_log_error, log, ())
    assert is_woken(quiet)
    turn(quiet)
    assert channel.qos.can_consume()


def test_room_in_the_channel_of_others_is_none_for_its_own_next_message(channel: Any) -> None:
    quiet, other = consumer(), channel.connection.create_channel(channel.connection)
    messages = [received(channel) for _ in range(2)]
    assert other.qos.can_consume()
    in_another_thread(quiet.call_soon_ack, messages[0].ack_log_error, log, ())
    assert is_woken(quiet)


def test_to_put_a_message_back_is_urgent(channel: Any) -> None:
    quiet, message = consumer(), received(channel)
    in_another_thread(quiet.call_soon_ack, message.reject_log_error, log, (), True)  # noqa: FBT003
    assert is_woken(quiet)
    turn(quiet)
    assert channel.basic_get("jobs").body == b"body"
