"""What decides beside the shares: header routes, mirror routes, affinity; and who is left out of an arm.

PURE: values, their bounds, and how they stand in the configuration document. A value that a sidecar
would refuse cannot be made (ValueError), so the webhook, which makes the same ones, refuses it first.

A word that is unknown here is a newer controller's: the route that has it is left out, rather than the
whole document refused, which may be an abort's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from coalmine.model import fields, patterns
from coalmine.model.errors import RemoteError
from coalmine.model.pieces import Pieces
from coalmine.model.weights import Weight

#: Each route costs every request that it does not match; nobody writes as many by hand.
MAX_ROUTES: Final = 64
#: Header fields of one route.
MAX_HEADERS: Final = 16
#: Browsers end a cookie's life after 400 days themselves (RFC 6265bis).
MAX_AGE: Final = 400 * 86_400
MAX_CONSECUTIVE: Final = 1000
#: With the tenfold of a repeated ejection that is ten hours: longer is a pod that should be gone.
MAX_EJECTION: Final = 3600.0

#: RFC 9110 5.6.2: what a field name and a cookie's name are made of.
TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")

#: How a `Match` compares.
EXACT: Final = "exact"
PREFIX: Final = "prefix"
REGEX: Final = "regex"
HOW: Final = (EXACT, PREFIX, REGEX)

#: How an endpoint of an arm is chosen: each as likely, or the one with fewer requests of two random ones.
RANDOM: Final = "random"
LEAST_REQUEST: Final = "leastRequest"
BALANCES: Final = (RANDOM, LEAST_REQUEST)


@dataclass(frozen=True, slots=True)
class Match:
    """A condition on a text. A regular expression must match the whole text, as Istio's and Envoy's do.

    `pattern` is the expression as `patterns` has compiled it, once, and None for the other kinds.
    """

    how: str
    value: str
    pattern: Any = field(init=False, compare=False, repr=False, default=None)

    def __post_init__(self) -> None:
        if self.how not in HOW:
            raise ValueError(f"a match is one of {', '.join(HOW)}")
        if not self.value or len(self.value) > fields.MAX_TEXT:
            raise ValueError(f"its value is empty, or longer than {fields.MAX_TEXT} characters")
        if not self.value.isascii() or not self.value.isprintable() or self.value != self.value.strip():
            raise ValueError("its value has characters that no header field's value begins with, ends in, or has")
        if self.how == REGEX:
            object.__setattr__(self, "pattern", patterns.compiled(self.value))


Headers = tuple[tuple[str, Match], ...]


def _checked(name: str, headers: Headers) -> None:
    if not name or len(name) > fields.MAX_TEXT:
        raise ValueError("a route needs a short name")
    if len(headers) > MAX_HEADERS:
        raise ValueError(f"a route has at most {MAX_HEADERS} header fields")
    for header, _ in headers:
        if not TOKEN.fullmatch(header) or header != header.lower():
            raise ValueError("a header's name is a token in lower case")


@dataclass(frozen=True, slots=True)
class HeaderRoute:
    """Requests whose header fields match all of `headers` go to `arm`, outside the shares.

    Names of fields are in lower case. The first route that matches is taken; several may have one name.
    """

    name: str
    headers: Headers
    arm: str = "canary"

    def __post_init__(self) -> None:
        _checked(self.name, self.headers)
        if not self.headers:
            raise ValueError("a header route without a header would be a weight of 100 %")


@dataclass(frozen=True, slots=True)
class MirrorRoute:
    """Copies of `share` of the matching requests go to `arm`; their answers are thrown away.

    Absent conditions match everything. Several of one name have one share of what any of them matches.
    Never slows or fails the request itself.
    """

    name: str
    share: Weight
    method: Match | None = None
    path: Match | None = None
    headers: Headers = ()
    arm: str = "canary"

    def __post_init__(self) -> None:
        _checked(self.name, self.headers)


@dataclass(frozen=True, slots=True)
class Affinity:
    """A client keeps its place in the shares by a cookie of this name, for `max_age` seconds."""

    cookie: str
    max_age: int

    def __post_init__(self) -> None:
        if not TOKEN.fullmatch(self.cookie):
            raise ValueError("a cookie's name is a token")
        if not 1 <= self.max_age <= MAX_AGE:
            raise ValueError(f"a cookie's age is 1 to {MAX_AGE} seconds")


@dataclass(frozen=True, slots=True)
class Ejection:
    """An endpoint of an arm is left out for `seconds` after so many failed attempts in a row.

    At most `percent` of an arm's endpoints (rounded down) are left out at once, so that an arm that
    fails as a whole is seen to fail.
    """

    consecutive: int = 5
    seconds: float = 30.0
    percent: int = 50

    def __post_init__(self) -> None:
        if not 1 <= self.consecutive <= MAX_CONSECUTIVE:
            raise ValueError(f"consecutive is 1 to {MAX_CONSECUTIVE}")
        if not 1 <= self.seconds <= MAX_EJECTION:
            raise ValueError(f"the time of an ejection is 1 to {MAX_EJECTION:g} seconds")
        if not 0 <= self.percent <= 100:
            raise ValueError("percent is 0 to 100")


#: What holds unless somebody says otherwise.
EJECTION: Final = Ejection()


# --- In the document ------------------------------------------------------------------------------


def _match_json(match: Match) -> dict[str, str]:
    return {match.how: match.value}


def _headers_json(headers: Headers) -> list[dict[str, Any]]:
    return [{"name": name, "match": _match_json(match)} for name, match in headers]


def route_json(route: HeaderRoute) -> dict[str, Any]:
    return {"name": route.name, "arm": route.arm, "headers": _headers_json(route.headers)}


def mirror_json(mirror: MirrorRoute) -> dict[str, Any]:
    raw: dict[str, Any] = {"name": mirror.name, "arm": mirror.arm, "share": mirror.share.percent}
    if mirror.method is not None:
        raw["method"] = _match_json(mirror.method)
    if mirror.path is not None:
        raw["path"] = _match_json(mirror.path)
    return {**raw, "headers": _headers_json(mirror.headers)}


def affinity_json(affinity: Affinity | None) -> dict[str, Any] | None:
    return None if affinity is None else {"cookie": affinity.cookie, "maxAge": affinity.max_age}


def ejection_json(ejection: Ejection | None) -> dict[str, Any] | None:
    if ejection is None:
        return None
    return {"consecutive": ejection.consecutive, "seconds": ejection.seconds, "percent": ejection.percent}


class _Unknown(Exception):
    """A condition that only a newer sidecar knows."""


def _match(raw: Mapping[str, Any]) -> Match:
    if len(raw) != 1:
        raise RemoteError("a match has exactly one kind")
    (how,) = raw
    if how not in HOW:
        raise _Unknown
    return Match(how, fields.text(raw, how))


def _optional(raw: Mapping[str, Any], key: str) -> Match | None:
    value = raw.get(key)
    return None if value is None else _match(value)


def _headers(raw: Mapping[str, Any]) -> Headers:
    listed = fields.sequence(raw, "headers", [])
    return tuple((fields.text(one, "name"), _match(one["match"])) for one in listed[: MAX_HEADERS + 1])


_ROUTE_FIELDS: Final = {"name", "arm", "headers"}
_MIRROR_FIELDS: Final = _ROUTE_FIELDS | {"share", "method", "path"}


def read_routes(raw: Mapping[str, Any]) -> Pieces[tuple[HeaderRoute, ...]]:
    """The header routes of a document. A route with a condition that is unknown here is left out.

    In pieces, as regular expressions are compiled to be checked, each in some tenths of a millisecond.
    """
    found = []
    for one in _listed(raw, "routes"):
        yield
        try:
            if one.keys() <= _ROUTE_FIELDS:
                found.append(HeaderRoute(fields.text(one, "name"), _headers(one), fields.text(one, "arm")))
        except _Unknown:
            continue
    return tuple(found)


def read_mirrors(raw: Mapping[str, Any]) -> Pieces[tuple[MirrorRoute, ...]]:
    """The mirror routes of a document, in pieces. A route with a condition that is unknown here is left out."""
    found = []
    for one in _listed(raw, "mirrors"):
        yield
        try:
            if one.keys() <= _MIRROR_FIELDS:
                name, share = fields.text(one, "name"), Weight.parse(one["share"], "share")
                method, path = _optional(one, "method"), _optional(one, "path")
                found.append(MirrorRoute(name, share, method, path, _headers(one), fields.text(one, "arm")))
        except _Unknown:
            continue
    return tuple(found)


def _listed(raw: Mapping[str, Any], key: str) -> list[Any]:
    listed = fields.sequence(raw, key, [])
    if len(listed) > MAX_ROUTES:
        raise RemoteError(f"{key} has more than {MAX_ROUTES} entries")
    return listed


def read_affinity(raw: Mapping[str, Any]) -> Affinity | None:
    value = raw.get("affinity")
    return None if value is None else Affinity(fields.text(value, "cookie"), fields.whole(value, "maxAge"))


def read_balance(raw: Mapping[str, Any]) -> str:
    """A way that is unknown here is the usual one."""
    if "balance" not in raw:
        return RANDOM
    value = fields.text(raw, "balance")
    return value if value in BALANCES else RANDOM


def read_ejection(raw: Mapping[str, Any]) -> Ejection | None:
    """Absent is the default; null is that nobody is left out."""
    value = raw.get("ejection", {})
    if value is None:
        return None
    seconds = value.get("seconds", EJECTION.seconds)
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise RemoteError("seconds must be a number")
    whole = {"consecutive": EJECTION.consecutive, "percent": EJECTION.percent, **value}
    return Ejection(fields.whole(whole, "consecutive"), float(seconds), fields.whole(whole, "percent"))
