"""Header and mirror routes in a strategy: what is accepted, what is refused and how, what is in force when."""

from __future__ import annotations

import json
from typing import Any

import pytest

from coalmine.model.errors import SpecError
from coalmine.model.route_steps import InForce, SetHeaderRoute, SetMirrorRoute
from coalmine.model.routes import EXACT, PREFIX, REGEX, HeaderRoute, Match, MirrorRoute
from coalmine.model.strategy import Strategy, parse_strategy
from coalmine.model.weights import Weight

#: Argo's own examples, word for word (its documentation of traffic management).
HEADERS = """
trafficRouting:
  managedRoutes:
  - name: set-header-1
steps:
- setWeight: 20
- setHeaderRoute:
    name: set-header-1
    match:
    - headerName: Custom-Header1
      headerValue:
        exact: Mozilla
    - headerName: Custom-Header2
      headerValue:
        prefix: Mozilla
    - headerName: Custom-Header3
      headerValue:
        regex: Mozilla(.*)
- pause: {}
- setHeaderRoute:
    name: set-header-1
"""
MIRROR = """
trafficRouting:
  managedRoutes:
  - name: mirror-route
steps:
- setMirrorRoute:
    name: mirror-route
    percentage: 35
    match:
    - method:
        exact: GET
      path:
        prefix: /
- pause: {duration: 10m}
- setMirrorRoute:
    name: mirror-route
"""


def test_argos_header_routes() -> None:
    strategy = parse_strategy(HEADERS)
    assert strategy.managed_routes == ("set-header-1",)
    routes = tuple(
        HeaderRoute("set-header-1", ((header, Match(how, value)),))
        for header, how, value in (
            ("custom-header1", EXACT, "Mozilla"),
            ("custom-header2", PREFIX, "Mozilla"),
            ("custom-header3", REGEX, "Mozilla(.*)"),
        )
    )
    assert strategy.steps[1] == SetHeaderRoute("set-header-1", routes)
    # one route with three alternatives is in force from its own step on, until it is taken away
    assert [strategy.routes_at(i) for i in range(6)] == [
        InForce(),
        InForce(headers=routes),
        InForce(headers=routes),
        InForce(),
        InForce(),
        InForce(),
    ]
    assert strategy.routes_at(1).names == ("set-header-1",)


def test_argos_mirror_route() -> None:
    strategy = parse_strategy(MIRROR)
    route = MirrorRoute("mirror-route", Weight(3500), Match(EXACT, "GET"), Match(PREFIX, "/"))
    assert strategy.steps[0] == SetMirrorRoute("mirror-route", (route,))
    assert [strategy.routes_at(i) for i in range(4)] == [
        InForce(mirrors=(route,)),
        InForce(mirrors=(route,)),
        InForce(),
        InForce(),
    ]
    # as many pods as the copies need
    assert [strategy.pods_at(i, 10) for i in range(4)] == [4, 4, 0, 10]


def strategy_of(*steps: dict[str, Any], managed: tuple[str, ...] = ("a", "b")) -> Strategy:
    raw = {"trafficRouting": {"managedRoutes": [{"name": name} for name in managed]}, "steps": list(steps)}
    return parse_strategy(json.dumps(raw))


def header(name: str, value: str = "1") -> dict[str, Any]:
    return {"setHeaderRoute": {"name": name, "match": [{"headerName": "X", "headerValue": {"exact": value}}]}}


def mirror(name: str, *matches: Any, **more: Any) -> dict[str, Any]:
    return {"setMirrorRoute": {"name": name, "match": list(matches) or [{}], **more}}


def test_routes_are_tried_in_the_order_in_which_they_are_managed() -> None:
    strategy = strategy_of(header("b"), header("a"), managed=("a", "b"))
    assert [route.name for route in strategy.routes_at(1).headers] == ["a", "b"]


def test_a_later_step_replaces_a_route_of_either_kind() -> None:
    strategy = strategy_of(header("a", "1"), header("a", "2"), mirror("a"), header("b"))
    assert strategy.routes_at(1).headers == (HeaderRoute("a", (("x", Match(EXACT, "2")),)),)
    assert strategy.routes_at(2) == InForce(mirrors=(MirrorRoute("a", Weight.FULL),))
    assert strategy.routes_at(3).names == ("b", "a")


def test_what_a_mirror_may_say() -> None:
    strategy = strategy_of(
        mirror("a", {"headers": {"X-One": {"exact": "1"}, "x-two": {"regex": "a+"}}}, {"path": {"exact": "/x"}}),
        mirror("b", percentage=0.5),
    )
    assert strategy.routes_at(1).mirrors == (
        MirrorRoute("a", Weight.FULL, None, None, (("x-one", Match(EXACT, "1")), ("x-two", Match(REGEX, "a+")))),
        MirrorRoute("a", Weight.FULL, None, Match(EXACT, "/x")),
        MirrorRoute("b", Weight(50)),
    )


@pytest.mark.parametrize(
    ("steps", "pods"),
    [
        ((header("a"), {"setWeight": 20}), [1, 2, 10]),
        ((header("a"), {"setWeight": 50}, {"setHeaderRoute": {"name": "a"}}), [1, 5, 5, 10]),
        (({"setWeight": 0}, header("a"), {"setHeaderRoute": {"name": "a"}}), [0, 1, 0, 10]),
        ((mirror("a", percentage=0),), [1, 10]),
        ((mirror("a", percentage=31), mirror("b", percentage=5)), [4, 4, 10]),
    ],
)
def test_pods_for_what_the_routes_send(steps: tuple[dict[str, Any], ...], pods: list[int]) -> None:
    strategy = strategy_of(*steps)
    assert [strategy.pods_at(i, 10) for i in range(len(pods))] == pods
    assert strategy.pods_at(0, 0) == 0


def test_pods_for_requests_and_their_copies() -> None:
    strategy = strategy_of(
        {"setWeight": 20}, mirror("a", percentage=20), {"setWeight": 50}, {"setMirrorRoute": {"name": "a"}}
    )
    # 0.2 + 0.8 * 0.2 = 0.36 of ten; 0.5 + 0.5 * 0.2 = 0.6
    assert [strategy.pods_at(i, 10) for i in range(5)] == [2, 4, 6, 5, 10]


def test_routes_of_the_last_step_stay_until_a_weight_ends_them() -> None:
    strategy = strategy_of(header("a"), {"setWeight": 20})
    assert [strategy.routes_at(i).names for i in (0, 1, 2, 3)] == [("a",)] * 4
    assert strategy.routes_at(-1) == InForce()


def test_routes_that_differ_have_two_identities_and_names_that_nobody_uses_none() -> None:
    method = strategy_of(mirror("a", {"method": {"exact": "GET"}}))
    header_of_that_name = strategy_of(mirror("a", {"headers": {"method": {"exact": "GET"}}}))
    assert method.identity != header_of_that_name.identity
    both = (header("a"), header("b"))
    assert strategy_of(*both, managed=("a", "b")).identity == strategy_of(*both, managed=("a", "c", "b")).identity
    assert strategy_of(*both, managed=("a", "b")).identity != strategy_of(*both, managed=("b", "a")).identity
    plain = parse_strategy("steps: [setWeight: 20, pause: {duration: 30s}]")
    unused = "{trafficRouting: {managedRoutes: [{name: a}]}, steps: [setWeight: 20, pause: {duration: 30s}]}"
    assert parse_strategy(unused).identity == plain.identity


@pytest.mark.parametrize("name", [r"\ud800", r"\ud83d\ude00", r"a\udfff"])
@pytest.mark.parametrize("text", ['{"steps": [{"pause": {"duration": "%s"}}]}', '{"%s": 1}', 'steps: ["%s"]'])
def test_half_a_character_is_refused_wherever_it_stands(name: str, text: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_strategy(text % name)
    assert "half a character" in caught.value.problem
    str(caught.value).encode()


def test_other_routes_are_another_strategy_and_old_ones_are_what_they_were() -> None:
    plain = parse_strategy("steps: [setWeight: 20, pause: {duration: 30s}]")
    # the identity stands in the status of rollouts that are under way: an upgrade must not start them again
    assert plain.identity == "58928b1db9ee81e0"
    several = [
        plain,
        strategy_of(header("a")),
        strategy_of(header("a", "2")),
        strategy_of(mirror("a")),
        strategy_of(mirror("a", percentage=5)),
        strategy_of(mirror("a", {"path": {"exact": "/"}})),
        strategy_of(mirror("a", {"method": {"exact": "/"}})),
        strategy_of(mirror("a", {"headers": {"x": {"exact": "/"}}})),
        strategy_of({"setHeaderRoute": {"name": "a"}}),
    ]
    assert len({strategy.identity for strategy in several}) == len(several)


_VALUE = "steps[0].setHeaderRoute.match[0].headerValue"
#: name: (text, the path, a part of the problem, a part of the advice)
REFUSED: dict[str, tuple[Any, str, str, str]] = {
    "not managed": (
        {"steps": [header("a")]},
        "steps[0].setHeaderRoute.name",
        "not one of trafficRouting.managedRoutes",
        "managedRoutes: [{name: a}]",
    ),
    "another one managed": (
        {"trafficRouting": {"managedRoutes": [{"name": "b"}]}, "steps": [{"setMirrorRoute": {"name": "a"}}]},
        "steps[0].setMirrorRoute.name",
        "'a' is not one of",
        "managedRoutes",
    ),
    "managed twice": (
        {"trafficRouting": {"managedRoutes": [{"name": "a"}, {"name": "a"}]}},
        "trafficRouting.managedRoutes[1].name",
        "given twice",
        "once",
    ),
    "managed without a name": (
        {"trafficRouting": {"managedRoutes": [{}]}},
        "trafficRouting.managedRoutes[0].name",
        "there is no name",
        "write a name",
    ),
    "Argo's routers": (
        {"trafficRouting": {"managedRoutes": [], "istio": {}}},
        "trafficRouting.istio",
        "split by the sidecars",
        "remove it",
    ),
    "no match at all": ([{"setHeaderRoute": {"name": "a", "match": []}}], "steps[0].setHeaderRoute.match", "empty", ""),
    "a mirror of nothing": ([{"setMirrorRoute": {"name": "a", "match": []}}], "steps[0].setMirrorRoute.match", "", ""),
    "a match that is no list": (
        [{"setHeaderRoute": {"name": "a", "match": {}}}],
        "steps[0].setHeaderRoute.match",
        "not a list",
        "a list",
    ),
    "no name": ([{"setHeaderRoute": {}}], "steps[0].setHeaderRoute.name", "there is no name", "write a name"),
    "a long name": ([header("a" * 64)], "steps[0].setHeaderRoute.name", "not the name of a route", "63"),
    "a name with a space": ([header("a b")], "steps[0].setHeaderRoute.name", "not the name of a route", "letters"),
    "a name that nobody types": ([header("\u00e9")], "steps[0].setHeaderRoute.name", "not the name of a route", ""),
    "a managed name with a line": (
        {"trafficRouting": {"managedRoutes": [{"name": "a\n"}]}},
        "trafficRouting.managedRoutes[0].name",
        "not the name of a route",
        "letters",
    ),
    "an expression that is too much work": (
        [{"setHeaderRoute": {"name": "a", "match": [{"headerName": "x", "headerValue": {"regex": ".*a.{1,900}x"}}]}}],
        f"{_VALUE}.regex",
        "is too much work: 2707 instructions",
        "shorter repetitions",
    ),
    "no header": (
        [{"setHeaderRoute": {"name": "a", "match": [{"headerValue": {"exact": "1"}}]}}],
        "steps[0].setHeaderRoute.match[0].headerName",
        "there is no name",
        "",
    ),
    "a header with a space": (
        [{"setHeaderRoute": {"name": "a", "match": [{"headerName": "x y", "headerValue": {"exact": "1"}}]}}],
        "steps[0].setHeaderRoute.match[0].headerName",
        "not the name of a header field",
        "x-group",
    ),
    "no value": (
        [{"setHeaderRoute": {"name": "a", "match": [{"headerName": "x"}]}}],
        _VALUE,
        "not a mapping",
        "{exact: TEXT}",
    ),
    "a typing error": (
        [{"setHeaderRoute": {"name": "a", "match": [{"headerName": "x", "headerValue": {"exakt": "1"}}]}}],
        f"{_VALUE}.exakt",
        "unknown",
        "did you mean exact?",
    ),
    "two values": (
        [
            {
                "setHeaderRoute": {
                    "name": "a",
                    "match": [{"headerName": "x", "headerValue": {"exact": "1", "regex": "1"}}],
                }
            }
        ],
        _VALUE,
        "has 2 values",
        "write one of",
    ),
    "an empty value": ([header("a", "")], _VALUE, "has 0 values", "write one of"),
    "a number": (
        [{"setHeaderRoute": {"name": "a", "match": [{"headerName": "x", "headerValue": {"exact": 2}}]}}],
        f"{_VALUE}.exact",
        "2 is not a string",
        "in quotes",
    ),
    "two lines": ([header("a", "1\n2")], f"{_VALUE}.exact", "cannot be compared", "printable"),
    "a space at its end": ([header("a", "1 ")], f"{_VALUE}.exact", "cannot be compared", "without spaces"),
    "a long value": ([header("a", "1" * 257)], f"{_VALUE}.exact", "cannot be compared", "256"),
    "no expression": (
        [{"setHeaderRoute": {"name": "a", "match": [{"headerName": "x", "headerValue": {"regex": "a("}}]}}],
        f"{_VALUE}.regex",
        "is not a regular expression: missing )",
        "RE2",
    ),
    "an expression that looks ahead": (
        [mirror("a", {"path": {"regex": "/(?!admin).*"}})],
        "steps[0].setMirrorRoute.match[0].path.regex",
        "is not a regular expression: invalid perl operator",
        "without look-around",
    ),
    "a mirror of 101 %": ([mirror("a", percentage=101)], "steps[0].setMirrorRoute.percentage", "101", "0 to 100"),
    "a mirror of a host": ([mirror("a", {"host": {"exact": "x"}})], "steps[0].setMirrorRoute.match[0].host", "", ""),
    "headers as a list": (
        [mirror("a", {"headers": [{"headerName": "x"}]})],
        "steps[0].setMirrorRoute.match[0].headers",
        "not a mapping",
        "{NAME: {exact: TEXT}}",
    ),
    "seventeen headers": (
        [mirror("a", {"headers": {f"x{i}": {"exact": "1"} for i in range(17)}})],
        "steps[0].setMirrorRoute.match[0].headers",
        "17 header fields are too many",
        "16",
    ),
    "too many alternatives": (
        [mirror("a", *[{} for _ in range(65)])],
        "steps[0].setMirrorRoute.match",
        "65 entries are too many",
        "64",
    ),
    "too many at a time": (
        [mirror("a", *[{} for _ in range(40)]), mirror("b", *[{} for _ in range(40)])],
        "steps[1].setMirrorRoute.match",
        "too many routes",
        "64",
    ),
}


@pytest.mark.parametrize(("raw", "path", "problem", "advice"), REFUSED.values(), ids=REFUSED)
def test_refused(raw: Any, path: str, problem: str, advice: str) -> None:
    if isinstance(raw, list):
        raw = {"trafficRouting": {"managedRoutes": [{"name": "a"}, {"name": "b"}]}, "steps": raw}
    with pytest.raises(SpecError) as caught:
        parse_strategy(json.dumps(raw))
    assert caught.value.path == f"metadata.annotations[coalmine.dev/canary].{path}"
    assert problem in caught.value.problem
    assert advice in caught.value.advice
    assert len(str(caught.value)) < 500, "an error does not repeat what is long"
