"""The steps ``setHeaderRoute`` and ``setMirrorRoute``, and which routes are in force at a step.

PURE. Words and meaning are Argo Rollouts', with Istio (trafficrouting/istio/istio.go): the entries of a ``match``
are alternatives, what stands within one must all hold; a step without ``match`` takes its route
away; a step that names a route again replaces it; a name must stand in ``trafficRouting.managedRoutes``, whose
order is the order in which routes are tried. All of them end with an abort, a full promotion, or the weight of 100 %
behind the last step: until that is granted, those of the last step stay.

Otherwise than there, an empty ``match`` is refused: in Istio it would send every request to the canary. And a request
that the canary answers itself is not mirrored to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from coalmine.model import patterns, spec
from coalmine.model.errors import SpecError, shown
from coalmine.model.fields import MAX_TEXT
from coalmine.model.routes import HOW, MAX_HEADERS, MAX_ROUTES, REGEX, TOKEN, HeaderRoute, Match, MirrorRoute
from coalmine.model.weights import Weight


@dataclass(frozen=True, slots=True)
class SetHeaderRoute:
    """Send requests with certain header fields to the canary, outside its weight. Without `routes`: no longer."""

    name: str
    routes: tuple[HeaderRoute, ...]

    def __str__(self) -> str:
        return f"setHeaderRoute {self.name}" + "".join(f" [{_headers_text(route.headers)}]" for route in self.routes)


@dataclass(frozen=True, slots=True)
class SetMirrorRoute:
    """Send copies of a share of certain requests to the canary. Without `routes`: no longer."""

    name: str
    routes: tuple[MirrorRoute, ...]

    def __str__(self) -> str:
        share = f" {self.routes[0].share}" if self.routes else ""
        return f"setMirrorRoute {self.name}{share}" + "".join(f" [{_mirror_text(route)}]" for route in self.routes)


def _headers_text(headers: tuple[tuple[str, Match], ...]) -> str:
    return ", ".join(f"{name} {match.how} {match.value!r}" for name, match in headers)


def _mirror_text(route: MirrorRoute) -> str:
    parts = [f"{word} {m.how} {m.value!r}" for word, m in (("method", route.method), ("path", route.path)) if m]
    return ", ".join([*parts, _headers_text(route.headers)] if route.headers else parts)


@dataclass(frozen=True, slots=True)
class InForce:
    """The routes of one moment, in the order in which they are tried."""

    headers: tuple[HeaderRoute, ...] = ()
    mirrors: tuple[MirrorRoute, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.headers or self.mirrors)

    @property
    def names(self) -> tuple[str, ...]:
        """Each route once."""
        headers, mirrors = [route.name for route in self.headers], [route.name for route in self.mirrors]
        return tuple(dict.fromkeys(headers + mirrors))

    def pods(self, weight: Weight, replicas: int) -> int:
        """Canary pods of `replicas` that these routes need beside `weight`: for its requests and the copies, and one
        where a route leads to it."""
        if not self:
            return 0
        load = self._load(weight) if self.mirrors else 0
        return max(-(-replicas * load // _WHOLE), min(1, replicas))

    def within(self, weight: Weight, replicas: int, ready: int, overload: float) -> bool:
        """Whether `ready` of `replicas` pods carry `weight` and the copies, each at most `overload` times an
        equal part of all requests."""
        return replicas * self._load(weight) <= overload * ready * _WHOLE

    def _load(self, weight: Weight) -> int:
        """What the canary gets, in parts of `_WHOLE`: w + (1 - w) * m, as what it answers is not copied to it."""
        mirrored = max((mirror.share.hundredths for mirror in self.mirrors), default=0)
        return weight.hundredths * 10_000 + (10_000 - weight.hundredths) * mirrored


NO_ROUTES: Final = InForce()
#: All requests, in hundredths of a percent of hundredths of a percent: products of two weights are exact.
_WHOLE: Final = 10_000 * 10_000


def in_force(steps: Sequence[object], managed: tuple[str, ...]) -> InForce:
    """What is left when `steps` have been taken one after the other. A name is one route, of either kind."""
    found: dict[str, SetHeaderRoute | SetMirrorRoute] = {}
    for step in steps:
        if isinstance(step, SetHeaderRoute | SetMirrorRoute):
            found[step.name] = step
    ordered = [found[name] for name in managed if name in found]
    return InForce(
        tuple(route for step in ordered if isinstance(step, SetHeaderRoute) for route in step.routes),
        tuple(route for step in ordered if isinstance(step, SetMirrorRoute) for route in step.routes),
    )


# --- Reading them -----------------------------------------------------------------------------------


#: A route's name goes into statuses, events, logs and documents. It is as long as a label's value, and of the same
#: characters: users write DNS labels.
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,63}")
_MATCH_ADVICE: Final = "write one of {exact: TEXT}, {prefix: TEXT} and {regex: EXPRESSION}"


def read_managed(raw: Any) -> tuple[str, ...]:
    """``trafficRouting``: the names of its ``managedRoutes``. Raises SpecError."""
    if raw is None:
        return ()
    fields = spec.mapping(raw, "trafficRouting", "write {managedRoutes: [{name: NAME}]}")
    others = {key: "requests are split by the sidecars" for key in fields if key != "managedRoutes"}
    spec.known(fields, ("managedRoutes",), "trafficRouting", others)
    found: list[str] = []
    for i, one in enumerate(spec.sequence(fields.get("managedRoutes"), "trafficRouting.managedRoutes")):
        path = f"trafficRouting.managedRoutes[{i}]"
        entry = spec.mapping(one, path, "write {name: NAME}")
        spec.known(entry, ("name",), path, {})
        name = _route_name(entry.get("name"), f"{path}.name")
        if name in found:
            raise SpecError(f"{path}.name", f"{shown(name)} is given twice", "write it once")
        found.append(name)
    if len(found) > MAX_ROUTES:
        raise SpecError("trafficRouting.managedRoutes", f"{len(found)} are too many", f"write at most {MAX_ROUTES}")
    return tuple(found)


def read_header_route(raw: Any, path: str) -> SetHeaderRoute:
    """The value of a ``setHeaderRoute``. Raises SpecError."""
    advice = "write {name: NAME, match: [{headerName: NAME, headerValue: {exact: TEXT}}]}"
    fields = spec.mapping(raw, path, advice)
    spec.known(fields, ("name", "match"), path, {})
    name = _route_name(fields.get("name"), f"{path}.name")
    routes = []
    for at, one in _alternatives(fields, path, advice):
        entry = spec.mapping(one, at, "write {headerName: NAME, headerValue: {exact: TEXT}}")
        spec.known(entry, ("headerName", "headerValue"), at, {})
        header = _header(entry.get("headerName"), f"{at}.headerName")
        routes.append(HeaderRoute(name, ((header, _match(entry.get("headerValue"), f"{at}.headerValue")),)))
    return SetHeaderRoute(name, tuple(routes))


def read_mirror_route(raw: Any, path: str) -> SetMirrorRoute:
    """The value of a ``setMirrorRoute``. Raises SpecError."""
    advice = "write {name: NAME, percentage: 35, match: [{method: {exact: GET}, path: {prefix: /}}]}"
    fields = spec.mapping(raw, path, advice)
    spec.known(fields, ("name", "percentage", "match"), path, {})
    name = _route_name(fields.get("name"), f"{path}.name")
    given = fields.get("percentage")
    share = Weight.FULL if given is None else Weight.parse(given, f"{path}.percentage")
    routes = []
    for at, one in _alternatives(fields, path, advice):
        entry = spec.mapping(one, at, "write {method: {exact: GET}, path: {prefix: /}, headers: {NAME: {exact: TEXT}}}")
        spec.known(entry, ("method", "path", "headers"), at, {})
        method, way = (_optional(entry, key, at) for key in ("method", "path"))
        routes.append(MirrorRoute(name, share, method, way, _headers(entry.get("headers"), f"{at}.headers")))
    return SetMirrorRoute(name, tuple(routes))


def _route_name(raw: Any, path: str) -> str:
    name = spec.name(raw, path)
    if not _NAME.fullmatch(name):
        advice = "write at most 63 letters, digits, dots, - and _, for example insiders"
        raise SpecError(path, f"{shown(name)} is not the name of a route", advice)
    return name


def _alternatives(fields: Mapping[str, Any], path: str, advice: str) -> list[tuple[str, Any]]:
    """The entries of ``match`` with their paths; none when the route is to go."""
    if fields.get("match") is None:
        return []
    entries = spec.sequence(fields["match"], f"{path}.match")
    if not entries:
        raise SpecError(f"{path}.match", "is empty", f"{advice}, or leave match out to take the route away")
    if len(entries) > MAX_ROUTES:
        raise SpecError(f"{path}.match", f"{len(entries)} entries are too many", f"write at most {MAX_ROUTES}")
    return [(f"{path}.match[{i}]", entry) for i, entry in enumerate(entries)]


def _optional(fields: Mapping[str, Any], key: str, path: str) -> Match | None:
    return None if fields.get(key) is None else _match(fields[key], f"{path}.{key}")


def _headers(raw: Any, path: str) -> tuple[tuple[str, Match], ...]:
    if raw is None:
        return ()
    fields = spec.mapping(raw, path, "write {NAME: {exact: TEXT}}")
    if len(fields) > MAX_HEADERS:
        raise SpecError(path, f"{len(fields)} header fields are too many", f"write at most {MAX_HEADERS}")
    return tuple((_header(name, path), _match(value, f"{path}.{name}")) for name, value in fields.items())


def _header(raw: Any, path: str) -> str:
    name = spec.name(raw, path)
    if not TOKEN.fullmatch(name):
        advice = "write a name such as x-group (letters, digits and - are usual)"
        raise SpecError(path, f"{shown(name)} is not the name of a header field", advice)
    return name.lower()


def _match(raw: Any, path: str) -> Match:
    """Exactly one of Argo's three, and not an empty one."""
    fields = spec.mapping(raw, path, _MATCH_ADVICE)
    spec.known(fields, HOW, path, {})
    given = {how: value for how, value in fields.items() if value not in (None, "")}
    if len(given) != 1:
        raise SpecError(path, f"has {len(given)} values rather than one", _MATCH_ADVICE)
    ((how, value),) = given.items()
    if not isinstance(value, str):
        raise SpecError(f"{path}.{how}", f"{shown(value)} is not a string", 'write it in quotes, for example "2"')
    if how == REGEX:
        patterns.check_pattern(value, f"{path}.{how}")
    try:
        return Match(how, value)
    except ValueError as error:
        advice = f"write at most {MAX_TEXT} printable ASCII characters, without spaces around them"
        raise SpecError(f"{path}.{how}", f"{shown(value)} cannot be compared: {error}", advice) from error
