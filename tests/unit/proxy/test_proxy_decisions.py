"""Pool, counters and wheel: decisions without a network."""

from __future__ import annotations

from dataclasses import dataclass, field

from coalmine.model import wire
from coalmine_proxy.pool import Pool
from coalmine_proxy.wheel import Wheel


@dataclass(eq=False)
class Connection:
    used: float = 0.0
    epoch: int = 0


def endpoint(name: str) -> wire.Endpoint:
    return wire.Endpoint("10.0.0.1", 80, name, 81)


def test_the_connection_used_last_is_taken_first_and_the_oldest_leaves() -> None:
    pool: Pool[Connection] = Pool(2)
    peer = pool.peer(endpoint("a"))
    one, two, three = Connection(), Connection(), Connection()
    assert pool.give(peer, one, 1.0) == []
    assert pool.give(peer, two, 2.0) == []
    assert pool.give(peer, three, 3.0) == [one]
    assert pool.take(peer, 0.0) is three
    assert pool.take(peer, 2.5) is None  # the next was used too long ago for this caller
    assert pool.take(peer, 0.0) is two
    assert pool.take(peer, 0.0) is None


def test_endpoints_that_leave_take_their_idle_connections_with_them() -> None:
    pool: Pool[Connection] = Pool(9)
    stays, leaves = pool.peer(endpoint("a")), pool.peer(endpoint("b"))
    kept, closed, busy = Connection(), Connection(), Connection()
    pool.give(stays, kept, 1.0)
    pool.give(leaves, closed, 1.0)
    pool.begin()
    assert pool.peer(endpoint("a")) is stays
    assert [connection for closing in pool.retire() for connection in closing] == [closed]
    assert pool.idle() == 1
    assert pool.give(leaves, busy, 2.0) == [busy]  # finished after its endpoint had left
    assert pool.peer(endpoint("b")) is not leaves


def test_a_doubted_endpoint_keeps_nothing_that_was_opened_before() -> None:
    pool: Pool[Connection] = Pool(9)
    peer = pool.peer(endpoint("a"))
    peer.confirmed = 5.0
    idle, busy = Connection(), Connection()
    pool.give(peer, idle, 1.0)
    assert pool.doubt(peer) == [idle]
    assert peer.confirmed < 0
    assert pool.give(peer, busy, 2.0) == [busy]
    assert pool.give(peer, Connection(epoch=peer.epoch), 2.0) == []


@dataclass(eq=False)
class Timed:
    deadline: float
    ended: list[float] = field(default_factory=list)

    def expired(self) -> None:
        self.ended.append(self.deadline)
        self.deadline = float("inf")


def test_every_deadline_is_seen_within_a_second_and_only_once() -> None:
    wheel = Wheel(0.0)
    things = [Timed(10.0) for _ in range(10)]
    for thing in things:
        wheel.add(thing)
    gone = things.pop()
    wheel.remove(gone)
    for tick in range(1, 45):
        wheel.turn(tick * 0.25)
        if tick * 0.25 < 10:
            assert not any(thing.ended for thing in things)
    assert all(thing.ended == [10.0] for thing in things)
    assert gone.ended == []
