"""Which arm, which endpoint: routes, affinity, mirrors, ejection. Decisions without a network."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine.model import wire
from coalmine.model.weights import Weight
from coalmine_proxy.limits import DEFAULT
from coalmine_proxy.matching import Condition
from coalmine_proxy.pool import Peer, Pool
from coalmine_proxy.request import Request, parse_request
from coalmine_proxy.routing import Arm, Table
from coalmine_proxy.stats import LOCAL, Stats


@dataclass(eq=False)
class Connection:
    used: float = 0.0
    epoch: int = 0


def asks(
    path: bytes = b"/",
    pin: bytes = b"",
    method: bytes = b"GET",
    cookie: bytes = b"",
    fields: dict[bytes, bytes] | None = None,
) -> Request:
    """A request as routing sees it."""
    lines = [method + b" " + path + b" HTTP/1.1", b"Host: a"]
    lines += [b"Coalmine-Version: " + pin] if pin else []
    lines += [b"Cookie: " + cookie] if cookie else []
    lines += [name + b": " + value for name, value in (fields or {}).items()]
    return parse_request(b"\r\n".join(lines), DEFAULT)


ANY = asks()


def endpoint(name: str) -> wire.Endpoint:
    return wire.Endpoint("10.0.0.1", 80, name, 81)


def table(routing: wire.Routing, before: Table | None = None, stats: Stats | None = None, seed: int = 1) -> Table:
    stats = stats or Stats()
    pool: Pool[Connection] = Pool(9)
    local = Arm(LOCAL, [pool.peer(endpoint("own"), local=True, trusted=True)], stats.arm(LOCAL))
    return Table(routing, local, peers(pool, routing), stats, random.Random(seed).random, before)


def peers(pool: Pool[Connection], routing: wire.Routing) -> dict[str, list[Peer[Connection]]]:
    return {arm.name: [pool.peer(endpoint) for endpoint in arm.endpoints] for arm in routing.arms}


def two_arms(stable: list[str], canary: list[str], weight: int, **more: object) -> wire.Routing:
    return wire.Routing(
        arms=(
            wire.Arm(wire.STABLE, Weight(10_000 - weight * 100), tuple(map(endpoint, stable))),
            wire.Arm(wire.CANARY, Weight(weight * 100), tuple(map(endpoint, canary)), "v2"),
        ),
        **more,  # type: ignore[arg-type]
    )


def three_arms(canary: int, control: int, version: str = "v2", **more: object) -> wire.Routing:
    """Shares in hundredths of a percent, as the controller sends them while a canary runs."""
    return wire.Routing(
        arms=(
            wire.Arm(wire.STABLE, Weight(10_000 - canary - control), (endpoint("s"),), "v1"),
            wire.Arm(wire.CONTROL, Weight(control), (endpoint("s"),), "v1"),
            wire.Arm(wire.CANARY, Weight(canary), (endpoint("c"),), version),
        ),
        **more,  # type: ignore[arg-type]
    )


INSIDERS = wire.HeaderRoute("insiders", (("x-group", wire.Match(wire.EXACT, "insiders")),))
BOTH = wire.HeaderRoute(
    "both", (("x-a", wire.Match(wire.PREFIX, "1")), ("x-b", wire.Match(wire.REGEX, "v[0-9]+"))), wire.STABLE
)
ROUTED = (INSIDERS, BOTH)

ROUTES = [
    # routing, request, arm, outside the shares
    (wire.LOCAL_ONLY, asks(pin=b"canary"), LOCAL, False),
    (two_arms(["s"], ["c"], 0), ANY, "stable", False),
    (two_arms(["s"], ["c"], 100), ANY, "canary", False),
    (two_arms(["s"], ["c"], 0), asks(pin=b"canary"), "canary", True),
    (two_arms(["s"], ["c"], 100), asks(pin=b"stable"), "stable", True),
    (two_arms(["s"], [], 0), asks(pin=b"canary"), "stable", True),
    (two_arms([], [], 0), asks(pin=b"canary"), "stable", True),
    (two_arms(["s"], ["c"], 0), asks(pin=b"v7"), "stable", False),
    (two_arms(["s"], ["c"], 0, pin=False), asks(pin=b"canary"), "stable", False),
    (two_arms(["s"], ["c"], 100), asks(b"/metrics", b"stable"), LOCAL, False),
    (two_arms(["s"], ["c"], 100), asks(b"/metrics/x"), LOCAL, False),
    (two_arms(["s"], ["c"], 100), asks(b"/metricsx"), "canary", False),
    (two_arms(["s"], ["c"], 100, local_paths=()), asks(b"/metrics"), "canary", False),
    (two_arms(["s"], ["c"], 100, local_paths=("/a/", "/b")), asks(b"/a"), LOCAL, False),
    (two_arms(["s"], ["c"], 0, routes=ROUTED), ANY, "stable", False),
    (two_arms(["s"], ["c"], 0, routes=ROUTED), asks(fields={b"x-group": b"insiders"}), "canary", True),
    (two_arms(["s"], ["c"], 0, routes=ROUTED), asks(fields={b"x-group": b"Insiders"}), "stable", False),
    (two_arms(["s"], ["c"], 0, routes=ROUTED), asks(fields={b"x-group": b"insiders, others"}), "stable", False),
    (two_arms(["s"], ["c"], 100, routes=ROUTED), asks(fields={b"x-a": b"10", b"x-b": b"v12"}), "stable", True),
    (two_arms(["s"], ["c"], 100, routes=ROUTED), asks(fields={b"x-a": b"10"}), "canary", False),
    # in their order: the first that matches
    (
        two_arms(["s"], ["c"], 50, routes=ROUTED),
        asks(fields={b"x-group": b"insiders", b"x-a": b"1", b"x-b": b"v1"}),
        "canary",
        True,
    ),
    # local paths and pins come first
    (two_arms(["s"], ["c"], 0, routes=ROUTED), asks(b"/metrics", fields={b"x-group": b"insiders"}), LOCAL, False),
    (two_arms(["s"], ["c"], 0, routes=ROUTED), asks(pin=b"stable", fields={b"x-group": b"insiders"}), "stable", True),
    # a canary that cannot answer
    (two_arms(["s"], [], 0, routes=ROUTED), asks(fields={b"x-group": b"insiders"}), "stable", True),
]


@pytest.mark.parametrize(("routing", "request_", "arm", "outside"), ROUTES)
def test_routes(routing: wire.Routing, request_: Request, arm: str, outside: bool) -> None:
    found, is_outside, cookie = table(routing).route(request_)
    assert (found.name, is_outside, cookie) == (arm, outside, b"")


CONDITIONS = [
    (wire.EXACT, "v2", b"v2", True),
    (wire.EXACT, "v2", b"v21", False),
    (wire.PREFIX, "v2", b"v21", True),
    (wire.PREFIX, "v2", b"v", False),
    (wire.REGEX, "v2", b"v2", True),
    (wire.REGEX, "v2", b"v21", False),  # the whole value, as in Istio
    (wire.REGEX, "(a|b)+", b"abba", True),
    (wire.REGEX, "v2.*", b"v2 \xff", True),  # bytes, whatever they mean
    (wire.REGEX, "(?i)chrome", b"Chrome", True),
    (wire.EXACT, "v2", None, False),
    (wire.PREFIX, "v", None, False),
    (wire.REGEX, ".*", None, False),  # a field that is absent is not empty
]


@pytest.mark.parametrize(("how", "wanted", "value", "holds"), CONDITIONS)
def test_conditions(how: str, wanted: str, value: bytes | None, holds: bool) -> None:
    assert Condition(wire.Match(how, wanted)).holds(value) is holds


def test_a_long_value_matches_no_regular_expression() -> None:
    condition = Condition(wire.Match(wire.REGEX, "a*"))
    assert [condition.holds(b"a" * length) for length in (4096, 4097)] == [True, False]
    assert Condition(wire.Match(wire.PREFIX, "a")).holds(b"a" * 4097)


def test_a_condition_that_is_no_regular_expression() -> None:
    with pytest.raises(ValueError, match="missing"):
        Condition(wire.Match(wire.REGEX, "("))


def test_routed_requests_do_not_disturb_the_split() -> None:
    here = table(two_arms(["s"], ["c"], 20, routes=ROUTED))
    dealt = Counter[str]()
    for i in range(3000):
        request = asks(fields={b"x-group": b"insiders"}) if i % 3 else ANY
        arm, outside, _ = here.route(request)
        assert outside is bool(i % 3)
        if not outside:
            dealt[arm.name] += 1
    assert abs(dealt["canary"] - 200) <= 2


def test_what_another_arm_cannot_take_goes_to_stable_then_to_the_pod_that_was_asked() -> None:
    full = table(two_arms(["s"], ["c"], 100))
    canary, _, _ = full.route(ANY)
    stable = full.instead(canary)
    assert stable is not None
    assert stable.name == wire.STABLE
    assert full.instead(stable) is None
    bare = table(two_arms([], [], 100))
    canary, _, _ = bare.route(ANY)
    assert bare.instead(canary) is bare.local
    assert bare.instead(bare.local) is None


def test_new_endpoints_do_not_disturb_the_split_and_new_shares_begin_anew() -> None:
    stats = Stats()
    first = table(two_arms(["s"], ["c"], 20), stats=stats)
    taken = [first.route(ANY)[0].name for _ in range(7)]
    second = table(two_arms(["s", "t"], ["d"], 20), before=first, stats=stats)
    taken += [second.route(ANY)[0].name for _ in range(993)]
    assert abs(taken.count("canary") - 200) <= 2
    third = table(two_arms(["s"], ["c"], 50), before=second, stats=stats)
    taken = [third.connection().name for _ in range(1000)]
    assert abs(taken.count("canary") - 500) <= 2


def test_a_connection_goes_by_the_shares_alone() -> None:
    assert table(wire.LOCAL_ONLY).connection().name == LOCAL
    assert table(two_arms(["s"], ["c"], 100, routes=ROUTED)).connection().name == "canary"


# --- affinity ---------------------------------------------------------------------------------

STICKY = wire.Affinity("coalmine", 3600)


def kept(cookie: bytes) -> bytes:
    """What a client sends of a Set-Cookie field's value."""
    return cookie.partition(b";")[0]


def test_the_cookie() -> None:
    _, _, cookie = table(three_arms(10_000, 0, affinity=STICKY)).route(ANY)
    value, *attributes = cookie.split(b"; ")
    assert value.startswith(b"coalmine=v2.")
    assert attributes == [b"Path=/", b"Max-Age=3600", b"HttpOnly", b"SameSite=Lax"]


POSITIONS = [
    # canary, control, position, arm
    (500, 500, 0, "canary"),
    (500, 500, 499, "canary"),
    (500, 500, 500, "stable"),
    (500, 500, 9499, "stable"),
    (500, 500, 9500, "control"),
    (500, 500, 9999, "control"),
    (1, 0, 0, "canary"),
    (1, 0, 1, "stable"),
    (10_000, 0, 9999, "canary"),
    (7000, 3000, 7000, "control"),
]


@pytest.mark.parametrize(("canary", "control", "position", "arm"), POSITIONS)
def test_positions(canary: int, control: int, position: int, arm: str) -> None:
    here = table(three_arms(canary, control, affinity=STICKY))
    for value in (b"%d" % position, b"%04d" % position):
        found, outside, cookie = here.route(asks(cookie=b"a=b; coalmine=v2." + value + b"; c=d"))
        assert (found.name, outside, cookie) == (arm, False, b"")


NO_PLACE = [
    b"",
    b"a=b",
    b"coalmine=",
    b"coalmine=v2",
    b"coalmine=v2.",
    b"coalmine=v1.17",  # of another release
    b"coalmine=v2.10000",
    b"coalmine=v2.-1",
    b"coalmine=v2.1_0",
    b"coalmine=v2. 17",
    b"coalmine=v2.\xb2",
    b'coalmine="v2.17"',
    b"xcoalmine=v2.17",
    b"Coalmine=v2.17",
    b"coalmine=v2." + b"0" * 10_000,
    b"coalmine =v2.17",
    b"coalmine=v2.17 x",
    b"coalmine=v2.12345",
]


@pytest.mark.parametrize("cookie", NO_PLACE)
def test_a_cookie_that_is_not_ours_is_a_new_client(cookie: bytes) -> None:
    arm, _, given = table(three_arms(10_000, 0, affinity=STICKY)).route(asks(cookie=cookie))
    assert (arm.name, given != b"") == ("canary", True)


def test_the_first_good_one_of_several_cookies_counts() -> None:
    here = table(three_arms(5000, 0, affinity=STICKY))
    cookie = b"coalmine=v1.9999; coalmine=v2.1; coalmine=v2.9999"
    assert here.route(asks(cookie=cookie))[0].name == "canary"


@pytest.mark.parametrize(
    "routing",
    [
        three_arms(0, 0, affinity=STICKY),  # aborted
        three_arms(0, 5000, affinity=STICKY),
        three_arms(5000, 0, version="", affinity=STICKY),  # the controller did not say which it is
        wire.Routing((wire.Arm("stable", Weight(5000), ()), wire.Arm("next", Weight(5000), (), "v2")), affinity=STICKY),
        wire.Routing((wire.Arm("stable", Weight.FULL, ()),), affinity=STICKY),
        wire.Routing(affinity=STICKY),
    ],
)
def test_nobody_keeps_a_place_where_there_is_none(routing: wire.Routing) -> None:
    for _ in range(10):
        arm, _, cookie = table(routing).route(asks(cookie=b"coalmine=v2.0"))
        assert cookie == b""
        assert arm.name != "canary"


@given(
    weights=st.lists(st.tuples(st.integers(1, 10_000), st.integers(0, 10_000)), min_size=1, max_size=8),
    seed=st.integers(0, 1 << 32),
    clients=st.integers(1, 60),
)
def test_no_client_goes_back_while_weights_grow(weights: list[tuple[int, int]], seed: int, clients: int) -> None:
    stats = Stats()
    jar: list[bytes] = []
    on_canary: set[int] = set()
    here: Table | None = None
    for canary, control in sorted(weights):
        here = table(three_arms(canary, min(control, 10_000 - canary), affinity=STICKY), here, stats, seed)
        for client, cookie in enumerate(jar):
            arm, outside, again = here.route(asks(cookie=cookie))
            assert not outside
            assert again == b""
            if arm.name == "canary":
                on_canary.add(client)
            else:
                assert client not in on_canary, (canary, cookie)
        for _ in range(clients):
            arm, _, cookie = here.route(ANY)
            jar.append(kept(cookie))
            # the place is one of the arm's own
            assert here.route(asks(cookie=jar[-1]))[0] is arm
            if arm.name == "canary":
                on_canary.add(len(jar) - 1)


@given(
    canary=st.integers(1, 10_000),
    share=st.integers(0, 10_000),
    seed=st.integers(0, 1 << 32),
    known=st.lists(st.booleans(), min_size=1, max_size=400),
)
def test_new_clients_are_split_exactly_whoever_returns_between_them(
    canary: int, share: int, seed: int, known: list[bool]
) -> None:
    control = min(share, 10_000 - canary)
    here = table(three_arms(canary, control, affinity=STICKY), seed=seed)
    dealt = Counter[str]()
    for returns in known:
        arm, _, cookie = here.route(asks(cookie=b"coalmine=v2.17") if returns else ANY)
        assert (cookie == b"") is returns
        if not returns:
            dealt[arm.name] += 1
    new = known.count(False)
    # the splitter's own bound for three arms of any shares
    assert abs(dealt["canary"] - new * canary / 10_000) <= 3
    assert abs(dealt["control"] - new * control / 10_000) <= 3


# --- mirrors ------------------------------------------------------------------------------------


def test_mirrors_copy_their_share_of_what_matches() -> None:
    mirrors = (
        wire.MirrorRoute("gets", Weight(3500), wire.Match(wire.EXACT, "GET"), wire.Match(wire.PREFIX, "/api")),
        wire.MirrorRoute("gets", Weight(3500), headers=(("x-copy", wire.Match(wire.EXACT, "1")),)),
    )
    here = table(two_arms(["s"], ["c"], 0, mirrors=mirrors))
    assert here.mirrors
    copies = 0
    for i in range(2000):
        request = asks(b"/api/x") if i % 2 else asks(method=b"POST", fields={b"x-copy": b"1"})
        arm = here.mirror(request)
        copies += arm is not None
        assert arm is None or arm.name == "canary"
    # one share for the routes of one name
    assert abs(copies - 700) <= 2
    for other in (asks(b"/"), asks(b"/api", method=b"POST"), asks(b"/metrics", fields={b"x-copy": b"1"})):
        assert all(here.mirror(other) is None for _ in range(50))


def test_mirrors_go_on_across_configurations_and_need_somebody_to_copy_to() -> None:
    all_of_it = wire.MirrorRoute("all", Weight(2500))
    stats = Stats()
    first = table(two_arms(["s"], ["c"], 0, mirrors=(all_of_it,)), stats=stats)
    copies = sum(first.mirror(ANY) is not None for _ in range(5))
    second = table(two_arms(["s"], ["d"], 5, mirrors=(all_of_it,)), first, stats)
    copies += sum(second.mirror(ANY) is not None for _ in range(995))
    assert abs(copies - 250) <= 2
    gone = table(two_arms(["s"], [], 0, mirrors=(all_of_it,)), second, stats)
    assert all(gone.mirror(ANY) is None for _ in range(50))
    assert not table(two_arms(["s"], ["c"], 5)).mirrors
    assert not table(wire.Routing(mirrors=(all_of_it,))).mirrors


# --- endpoints ----------------------------------------------------------------------------------


def peers_of(count: int) -> list[Peer[Connection]]:
    pool: Pool[Connection] = Pool(1)
    return [pool.peer(endpoint(str(i))) for i in range(count)]


def test_each_endpoint_is_as_likely_and_none_is_tried_twice() -> None:
    peers = peers_of(4)
    arm = Arm("stable", peers, Stats().arm("stable"))
    rng = random.Random(3)
    counts = [0] * 4
    for _ in range(4000):
        chosen = arm.choose(rng.random, (), 0.0)
        assert chosen is not None
        counts[peers.index(chosen)] += 1
    assert all(900 < count < 1100 for count in counts)
    assert arm.choose(rng.random, peers[:3], 0.0) is peers[3]
    assert arm.choose(rng.random, peers, 0.0) is None


def test_least_request_takes_the_one_with_fewer_of_two() -> None:
    peers = peers_of(3)
    arm = Arm("stable", peers, Stats().arm("stable"), wire.LEAST_REQUEST)
    rng = random.Random(3)
    peers[0].in_flight, peers[1].in_flight, peers[2].in_flight = 9, 5, 0
    counts = Counter(id(arm.choose(rng.random, (), 0.0)) for _ in range(3000))
    # the busiest never, the idlest in two of three pairs
    assert counts[id(peers[0])] == 0
    assert 1850 < counts[id(peers[2])] < 2150
    for peer in peers:
        peer.in_flight = 1
    counts = Counter(id(arm.choose(rng.random, (), 0.0)) for _ in range(3000))
    assert all(850 < counts[id(peer)] < 1150 for peer in peers)
    # work that is spread by it is spread evenly
    for peer in peers:
        peer.in_flight = 0
    for _ in range(300):
        chosen = arm.choose(rng.random, (), 0.0)
        assert chosen is not None
        chosen.in_flight += 1
    assert all(95 <= peer.in_flight <= 105 for peer in peers)


RULE = wire.Ejection(consecutive=3, seconds=10.0, percent=50)


def fail(arm: Arm, peer: Peer[Connection], times: int, now: float) -> list[bool]:
    return [arm.failed(peer, now) for _ in range(times)]


def pods(count: int, **more: object) -> wire.Routing:
    return two_arms([str(i) for i in range(count)], [], 0, **{"ejection": RULE, **more})


def chosen(arm: Arm, now: float) -> set[str]:
    rng = random.Random(5)
    found = [arm.choose(rng.random, (), now) for _ in range(200)]
    return {peer.endpoint.uid for peer in found if peer is not None}


def test_an_endpoint_that_fails_again_and_again_is_left_out_for_a_while() -> None:
    here = table(pods(4))
    arm = here.connection()
    one = arm.peers[0]
    assert fail(arm, one, 2, 100.0) == [False, False]
    arm.succeeded(one)  # in a row, that is
    assert fail(arm, one, 3, 100.0) == [False, False, True]
    assert chosen(arm, 100.0) == chosen(arm, 109.9) == {"1", "2", "3"}
    # when the others have been tried, it is better than nothing
    assert arm.choose(random.random, arm.peers[1:], 100.0) is one
    # what was still on its way to it changes nothing
    assert fail(arm, one, 5, 105.0) == [False] * 5
    assert chosen(arm, 110.0) == {"0", "1", "2", "3"}


def test_each_time_is_longer_and_good_times_make_it_shorter_again() -> None:
    arm = table(pods(4)).connection()
    one = arm.peers[0]
    now, lasted = 0.0, []
    for _ in range(12):
        fail(arm, one, 3, now)
        lasted.append(one.ejected_until - now)
        now = one.ejected_until
    assert lasted == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 100, 100]
    fail(arm, one, 3, now + 45.0)
    assert one.ejected_until - (now + 45.0) == 70.0
    now = one.ejected_until + 1000.0
    fail(arm, one, 3, now)
    assert one.ejected_until - now == 10.0


@pytest.mark.parametrize(
    ("count", "percent", "out"), [(1, 50, 0), (1, 100, 1), (2, 50, 1), (3, 50, 1), (3, 100, 3), (4, 10, 0), (10, 29, 2)]
)
def test_no_more_than_some_are_out_at_once(count: int, percent: int, out: int) -> None:
    here = table(pods(count, ejection=wire.Ejection(1, 10.0, percent)))
    arm = here.connection()
    assert sum(fail(arm, peer, 1, 5.0)[0] for peer in arm.peers) == out
    assert arm.choose(random.random, (), 5.0) is not None
    # when they are back, it is others' turn
    assert sum(fail(arm, peer, 1, 15.0)[0] for peer in reversed(arm.peers)) == out


def test_what_an_endpoint_did_outlives_configurations_and_holds_in_each_arm() -> None:
    pool: Pool[Connection] = Pool(1)
    stats = Stats()
    local = Arm(LOCAL, [], stats.arm(LOCAL))

    def build(routing: wire.Routing, before: Table | None) -> Table:
        return Table(routing, local, peers(pool, routing), stats, random.Random(2).random, before)

    first = build(three_arms(0, 0, ejection=wire.Ejection(1, 10.0, 100)), None)
    stable = first.connection()
    assert stable.failed(stable.peers[0], 1.0)
    both = wire.Routing(
        (
            wire.Arm("stable", Weight.ZERO, (endpoint("s"), endpoint("t"))),
            wire.Arm("control", Weight.FULL, (endpoint("s"), endpoint("t"))),
        ),
        ejection=wire.Ejection(1, 10.0, 100),
    )
    second = build(both, first)
    assert chosen(second.connection(), 2.0) == {"t"}
    third = build(both, second)
    assert chosen(third.connection(), 2.0) == {"t"}
    off = build(wire.Routing(both.arms, ejection=None), third)
    assert chosen(off.connection(), 2.0) == {"s", "t"}
    assert not off.connection().failed(off.connection().peers[1], 2.0)
