"""Who gets a slot, who gets memory, and whose connection is ended for another."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry, Gauge

from api.front.crowd import client_of, surplus_of
from api.limits.body_memory import BodyMemory, Share, bytes_for_bodies
from api.limits.waiting_room import WAITING_PER_SLOT, Place, WaitingRoom
from shared.errors import Overloaded
from shared.settings import Settings
from shared.vocabulary import Priority


@dataclass
class Line:
    """What counts of a connection."""

    peer: str
    is_busy: bool = False
    is_receiving: bool = False
    is_idle: bool = True
    since: float = 0.0


@pytest.fixture
def gauges() -> tuple[Gauge, Gauge]:
    registry = CollectorRegistry()
    return (
        Gauge("in_flight", "Requests.", registry=registry),
        Gauge("waiting", "Requests.", registry=registry),
    )


def values(gauges: tuple[Gauge, Gauge]) -> list[float]:
    return [sample.value for gauge in gauges for part in gauge.collect() for sample in part.samples]


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario in an event loop, whose futures rooms need."""

    async def main() -> None:
        await scenario()

    asyncio.run(main())


def held(places: list[Place]) -> list[bool]:
    return [place.is_held for place in places]


def test_slots_go_to_those_who_have_waited_longest(gauges: tuple[Gauge, Gauge]) -> None:
    async def scenario() -> None:
        room = WaitingRoom(2, 0, *gauges)
        places = [room.enter("a") for _ in range(4)]
        assert held(places) == [True, True, False, False]
        assert values(gauges) == [2, 2]
        room.leave(places[1])
        assert held(places) == [True, False, True, False]
        room.leave(places[1])  # twice, which changes nothing
        assert held(places) == [True, False, True, False]
        assert values(gauges) == [2, 1]

    run(scenario)


def test_an_address_may_use_all_slots_and_a_new_one_still_gets_one(
    gauges: tuple[Gauge, Gauge],
) -> None:
    async def scenario() -> None:
        room = WaitingRoom(3, 1, *gauges)
        assert held([room.enter("a") for _ in range(4)]) == [True, True, True, False]
        assert held([room.enter("b") for _ in range(2)]) == [True, False]

    run(scenario)


def test_a_free_slot_goes_to_the_address_with_the_fewest(gauges: tuple[Gauge, Gauge]) -> None:
    async def scenario() -> None:
        room = WaitingRoom(4, 1, *gauges)
        first = [room.enter("a") for _ in range(8)]
        second = [room.enter("b") for _ in range(3)]
        for place in first[:3]:
            room.leave(place)
        assert held(first[3:]) == [True, True, False, False, False]
        assert held(second) == [True, True, False]

    run(scenario)


def test_of_too_many_that_wait_the_latest_of_the_greediest_has_to_go(
    gauges: tuple[Gauge, Gauge],
) -> None:
    async def scenario() -> None:
        room = WaitingRoom(1, 0, *gauges)
        first = [room.enter("a") for _ in range(1 + WAITING_PER_SLOT)]
        assert room.is_full
        second = room.enter("b")
        assert not second.granted.done()
        with pytest.raises(Overloaded, match="1 requests are under way"):
            first[-1].granted.result()
        for place in first:
            room.leave(place)
        assert second.is_held

    run(scenario)


def test_memory_is_given_while_there_is_some_and_one_may_use_the_reserve() -> None:
    async def scenario() -> None:
        memory = BodyMemory(100)
        first, second, third = (Share("a") for _ in range(3))
        assert memory.want(first, 50).done()
        assert memory.want(second, 50).done()
        assert memory.want(second, 90).done()  # in the reserve
        waits = memory.want(first, 60)
        assert not waits.done()
        assert memory.want(second, 120).done()  # the reserve is for one, until it is served
        memory.give_back(second)
        assert waits.done()
        assert memory.want(third, 40).done()

    run(scenario)


@pytest.mark.parametrize("processes", [1, 2, 4, 16])
def test_small_bodies_are_under_way_together_in_each_of_several_processes(processes: int) -> None:
    settings = Settings(api_processes=processes, redis_url="redis://localhost")

    async def scenario() -> None:
        memory = BodyMemory(bytes_for_bodies(settings))
        wanted = [memory.want(Share("a"), 300_000) for _ in range(settings.request_slots)]
        assert all(want.done() for want in wanted)

    run(scenario)


def test_memory_goes_to_the_address_that_has_least() -> None:
    async def scenario() -> None:
        memory = BodyMemory(100)
        shares = [Share("a") for _ in range(4)]
        assert [memory.want(share, 50).done() for share in shares] == [True, True, True, False]
        other = memory.want(Share("b"), 50)
        assert not other.done()  # somebody has the reserve
        memory.give_back(shares[0])
        memory.give_back(shares[2])
        assert other.done()

    run(scenario)


def test_memory_goes_to_persons_first_and_bulk_work_leaves_them_some() -> None:
    async def scenario() -> None:
        memory = BodyMemory(100)
        first, second, large = (Share("a", Priority.BULK) for _ in range(3))
        persons = [Share("a") for _ in range(3)]
        assert memory.want(first, 50).done()
        waits = memory.want(second, 50)
        assert not waits.done()  # nor is the reserve for it
        granted = [memory.want(person, 50) for person in persons]
        assert [each.done() for each in granted] == [True, True, False]  # one is in the reserve
        memory.give_back(first)
        memory.give_back(persons[0])
        assert (granted[2].done(), waits.done()) == (True, False)
        memory.give_back(persons[1])
        memory.give_back(persons[2])
        assert waits.done()
        memory.give_back(second)
        assert memory.want(large, 120).done()  # alone, it may have the reserve

    run(scenario)


def test_of_too_many_connections_the_idle_ones_of_whoever_has_most_are_ended_first() -> None:
    lines = [
        Line("192.0.2.1", is_busy=True),
        Line("192.0.2.1", is_busy=True),
        Line("192.0.2.1", since=1),
        Line("2001:db8::1", is_idle=False, since=1),
        Line("2001:db8::2", since=3),
        Line("2001:db8::3", since=2),
    ]
    order = []
    while surplus := surplus_of(lines):
        order.append(lines.pop(lines.index(surplus)))
    assert [(line.peer, line.since) for line in order] == [
        ("2001:db8::3", 2),
        ("2001:db8::2", 3),
        ("192.0.2.1", 1),
        ("2001:db8::1", 1),
    ]
    assert len(lines) == 2


def test_of_too_many_connections_that_send_bodies_those_of_whoever_has_most_are_ended() -> None:
    def sending(peer: str, since: float) -> Line:
        return Line(peer, is_busy=True, is_receiving=True, is_idle=False, since=since)

    oldest, other = sending("192.0.2.1", 1), sending("192.0.2.2", 0)
    whole = Line("192.0.2.1", is_busy=True)
    crowd = [whole, oldest, sending("192.0.2.1", 2), other]
    assert surplus_of([*crowd, Line("192.0.2.3", since=3)]) is oldest
    assert surplus_of([*crowd, idle := Line("192.0.2.1", since=3)]) is idle
    assert surplus_of([whole, oldest, other, newcomer := Line("192.0.2.3")]) is newcomer
    assert surplus_of([whole]) is None


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
        ("", ""),
    ],
)
def test_whom_an_address_stands_for(address: str, client: str) -> None:
    assert client_of(address) == client
