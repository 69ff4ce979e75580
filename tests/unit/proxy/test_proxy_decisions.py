"""Pool, routing, counters, wheel and the static file: decisions without a network."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from coalmine.model import wire
from coalmine.model.errors import SpecError
from coalmine.model.weights import Weight
from coalmine_proxy.pool import Peer, Pool
from coalmine_proxy.routing import Arm, Table
from coalmine_proxy.static import parse_static
from coalmine_proxy.stats import LOCAL, Stats
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
    assert pool.retain([stays]) == [closed]
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


def table(routing: wire.Routing, before: Table | None = None, stats: Stats | None = None) -> Table:
    stats = stats or Stats()
    pool: Pool[Connection] = Pool(9)
    local = Arm(LOCAL, [pool.peer(endpoint("own"), local=True, trusted=True)], stats.arm(LOCAL))
    return Table(routing, local, pool.peer, stats, random.Random(1).random, before)


def two_arms(stable: list[str], canary: list[str], weight: int, **more: object) -> wire.Routing:
    return wire.Routing(
        arms=(
            wire.Arm(wire.STABLE, Weight(10_000 - weight * 100), tuple(map(endpoint, stable))),
            wire.Arm(wire.CANARY, Weight(weight * 100), tuple(map(endpoint, canary))),
        ),
        **more,  # type: ignore[arg-type]
    )


ROUTES = [
    # routing, path, pin, arm, pinned
    (wire.LOCAL_ONLY, b"/", b"canary", LOCAL, False),
    (two_arms(["s"], ["c"], 0), b"/", b"", "stable", False),
    (two_arms(["s"], ["c"], 100), b"/", b"", "canary", False),
    (two_arms(["s"], ["c"], 0), b"/", b"canary", "canary", True),
    (two_arms(["s"], ["c"], 100), b"/", b"stable", "stable", True),
    (two_arms(["s"], [], 0), b"/", b"canary", "stable", True),
    (two_arms([], [], 0), b"/", b"canary", "stable", True),
    (two_arms(["s"], ["c"], 0), b"/", b"v7", "stable", False),
    (two_arms(["s"], ["c"], 0, pin=False), b"/", b"canary", "stable", False),
    (two_arms(["s"], ["c"], 100), b"/metrics", b"stable", LOCAL, False),
    (two_arms(["s"], ["c"], 100), b"/metrics/x", b"", LOCAL, False),
    (two_arms(["s"], ["c"], 100), b"/metricsx", b"", "canary", False),
    (two_arms(["s"], ["c"], 100, local_paths=()), b"/metrics", b"", "canary", False),
    (two_arms(["s"], ["c"], 100, local_paths=("/a/", "/b")), b"/a", b"", LOCAL, False),
]


@pytest.mark.parametrize(("routing", "path", "pin", "arm", "pinned"), ROUTES)
def test_routes(routing: wire.Routing, path: bytes, pin: bytes, arm: str, pinned: bool) -> None:
    found, is_pinned = table(routing).route(path, pin)
    assert (found.name, is_pinned) == (arm, pinned)


def test_what_another_arm_cannot_take_goes_to_stable_then_to_the_pod_that_was_asked() -> None:
    full = table(two_arms(["s"], ["c"], 100))
    canary, _ = full.route(b"/", b"")
    stable = full.instead(canary)
    assert stable is not None
    assert stable.name == wire.STABLE
    assert full.instead(stable) is None
    bare = table(two_arms([], [], 100))
    canary, _ = bare.route(b"/", b"")
    assert bare.instead(canary) is bare.local
    assert bare.instead(bare.local) is None


def test_new_endpoints_do_not_disturb_the_split_and_new_shares_begin_anew() -> None:
    stats = Stats()
    first = table(two_arms(["s"], ["c"], 20), stats=stats)
    taken = [first.route(b"/", b"")[0].name for _ in range(7)]
    second = table(two_arms(["s", "t"], ["d"], 20), before=first, stats=stats)
    taken += [second.route(b"/", b"")[0].name for _ in range(993)]
    assert abs(taken.count("canary") - 200) <= 2
    third = table(two_arms(["s"], ["c"], 50), before=second, stats=stats)
    taken = [third.route(b"/", b"")[0].name for _ in range(1000)]
    assert abs(taken.count("canary") - 500) <= 2


def test_each_endpoint_is_as_likely_and_none_is_tried_twice() -> None:
    peers: list[Peer[Connection]] = [Pool[Connection](1).peer(endpoint(str(i))) for i in range(4)]
    arm = Arm("stable", peers, Stats().arm("stable"))
    rng = random.Random(3)
    counts = [0] * 4
    for _ in range(4000):
        chosen = arm.choose(rng.random, ())
        assert chosen is not None
        counts[peers.index(chosen)] += 1
    assert all(900 < count < 1100 for count in counts)
    assert arm.choose(rng.random, peers[:3]) is peers[3]
    assert arm.choose(rng.random, peers) is None


def test_counters_and_what_a_scrape_shows() -> None:
    stats = Stats()
    arm = stats.arm('ca"nary')
    arm.answered(200, 0.0005)
    arm.answered(204, 0.004)
    arm.answered(503, 100.0)
    arm.failures[1] += 1
    arm.pinned += 2
    counters = stats.counters()['ca"nary']
    assert counters.requests == (0, 2, 0, 0, 1)
    assert counters.latency[0] == 1  # half a millisecond is within the first edge
    assert counters.latency[2] == 1
    assert counters.latency[-1] == 1
    assert counters.latency_ms == pytest.approx(100_004.5)
    assert (counters.failures[1], counters.pinned, counters.total) == (1, 2, 3)
    text = stats.text(wire.Version(3, 4), ready=True)
    assert 'coalmine_requests_total{arm="ca\\"nary",code_class="2xx"} 2' in text
    assert 'coalmine_attempt_failures_total{arm="ca\\"nary",cause="reset"} 1' in text
    assert 'coalmine_request_duration_seconds_bucket{arm="ca\\"nary",le="0.005"} 2' in text
    assert 'coalmine_request_duration_seconds_bucket{arm="ca\\"nary",le="+Inf"} 3' in text
    assert "coalmine_config_counter 4" in text
    assert text.endswith("\n")


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


def test_a_static_file() -> None:
    routing = parse_static({"stable": ["127.0.0.1:80", "[::1]:81"], "canary": ["localhost:82"], "weight": 0.5})
    assert [arm.share.percent for arm in routing.arms] == [99.5, 0.5]
    assert [(e.address, e.port) for arm in routing.arms for e in arm.endpoints] == [
        ("127.0.0.1", 80),
        ("::1", 81),
        ("127.0.0.1", 82),
    ]


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ([], ""),
        ({"stabel": []}, "stabel"),
        ({"stable": "x"}, "stable"),
        ({"stable": ["x"]}, "stable[0]"),
        ({"stable": ["example.com:80"]}, "stable[0]"),
        ({"stable": ["1.1.1.1:99999"]}, "stable[0]"),
        ({"weight": 101}, "weight"),
    ],
)
def test_a_static_file_that_is_wrong(raw: object, path: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_static(raw)
    assert caught.value.path == path
