"""The documents between controller and sidecar: what is written is read back, and nothing else does harm."""

from __future__ import annotations

import contextlib
import copy
import ipaddress
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.model import fields
from coalmine.model.errors import RemoteError
from coalmine.model.pieces import at_once
from coalmine.model.weights import Weight
from coalmine.model.wire import (
    CANARY,
    EXACT,
    LEAST_REQUEST,
    PREFIX,
    RANDOM,
    REGEX,
    STABLE,
    Affinity,
    Answer,
    Arm,
    ArmCounters,
    Document,
    Ejection,
    Endpoint,
    HeaderRoute,
    Injection,
    Match,
    MirrorRoute,
    Routing,
    Version,
    decode,
    decode_answer,
    decoding,
    encode,
    encode_answer,
)

_NAMES = st.text(max_size=12)
_PORTS = st.integers(1, 65_535)
_WHOLE = st.integers(0, (1 << 63) - 1)
_ENDPOINTS = st.builds(Endpoint, st.ip_addresses().map(str), _PORTS, _NAMES, _PORTS)
_PATHS = st.text("abc/.-_", max_size=8).map("/{}".format)
_VERSIONS = st.text("abcdef0123456789", max_size=10)
_TOKENS = st.text("abcxyz-_0189", min_size=1, max_size=12)
_VALUES = st.text("abc/(. )*?", min_size=1, max_size=12).filter(lambda text: text == text.strip())
_MATCHES = st.builds(Match, st.sampled_from((EXACT, PREFIX)), _VALUES) | st.builds(
    Match, st.just(REGEX), st.sampled_from(("v[0-9]+", ".*", "(a|b)*c"))
)
_HEADERS = st.lists(st.tuples(_TOKENS, _MATCHES), min_size=1, max_size=3).map(tuple)
_ROUTES = st.builds(HeaderRoute, _TOKENS, _HEADERS, _NAMES)
_MAYBE = st.none() | _MATCHES
_MIRRORS = st.builds(
    MirrorRoute, _TOKENS, st.builds(Weight, st.integers(0, 10_000)), _MAYBE, _MAYBE, st.just(()) | _HEADERS, _NAMES
)


@st.composite
def _routings(draw: st.DrawFn) -> Routing:
    names = draw(st.lists(_NAMES, max_size=4, unique=True))
    cuts = sorted(
        draw(st.lists(st.integers(0, 10_000), min_size=max(len(names) - 1, 0), max_size=max(len(names) - 1, 0)))
    )
    shares = [b - a for a, b in zip([0, *cuts], [*cuts, 10_000], strict=True)]
    arms = tuple(
        Arm(name, Weight(share), tuple(draw(st.lists(_ENDPOINTS, max_size=3))), draw(_VERSIONS))
        for name, share in zip(names, shares, strict=False)
    )
    flags = [draw(st.booleans()) for _ in range(3)]
    return Routing(
        arms,
        tuple(draw(st.lists(_PATHS, max_size=3))),
        *flags,
        routes=tuple(draw(st.lists(_ROUTES, max_size=2))),
        mirrors=tuple(draw(st.lists(_MIRRORS, max_size=2))),
        affinity=draw(st.none() | st.builds(Affinity, _TOKENS, st.integers(1, 10**6))),
        balance=draw(st.sampled_from((RANDOM, LEAST_REQUEST))),
        ejection=draw(
            st.none() | st.builds(Ejection, st.integers(1, 1000), st.integers(1, 3600).map(float), st.integers(0, 100))
        ),
    )


_DOCUMENTS = st.builds(Document, st.builds(Version, _WHOLE, _WHOLE), _NAMES, _NAMES, _routings())
_COUNTS = st.lists(_WHOLE, max_size=20).map(tuple)
_COUNTERS = st.builds(ArmCounters, _COUNTS, _COUNTS, _COUNTS, st.integers(0, 10**9).map(float), _WHOLE)
_ANSWERS = st.builds(
    Answer,
    _NAMES,
    _NAMES,
    st.none() | st.builds(Version, _WHOLE, _WHOLE),
    st.booleans(),
    st.dictionaries(_NAMES, _COUNTERS, max_size=3),
    _WHOLE,
)


@settings(deadline=None)
@given(_DOCUMENTS)
def test_a_document_comes_back(document: Document) -> None:
    assert decode(encode(document)) == document


@settings(deadline=None)
@given(_DOCUMENTS)
def test_a_document_that_is_read_in_pieces_has_the_endpoints_that_are_known(document: Document) -> None:
    known = {e: e for arm in document.routing.arms for e in arm.endpoints}
    found = at_once(decoding(encode(document), known=lambda endpoint: known[endpoint]))
    assert found == document
    assert all(known[e] is e for arm in found.routing.arms for e in arm.endpoints)


@given(
    st.text("0123456789.", max_size=16) | st.ip_addresses().map(str) | st.text("0123456789abcdef.:%/٣ \n", max_size=9)
)
def test_an_address_is_what_python_takes_for_one(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        with pytest.raises(ValueError, match="address"):
            fields.address({"address": text}, "address")
    else:
        assert fields.address({"address": text}, "address") == text


@settings(deadline=None)
@given(_ANSWERS)
def test_an_answer_comes_back(answer: Answer) -> None:
    assert decode_answer(encode_answer(answer)) == answer


@given(st.builds(Injection, _NAMES, _PORTS, _PORTS, _PORTS, st.booleans()))
def test_an_injection_comes_back(injection: Injection) -> None:
    assert Injection.from_json(injection.to_json()) == injection


DOCUMENT = json.loads(
    encode(
        Document(
            Version(7, 3),
            "uid-1",
            "nonce",
            Routing(
                (
                    Arm(STABLE, Weight(8000), (Endpoint("10.0.0.1", 5000, "uid-1", 17081),)),
                    Arm(CANARY, Weight(2000), (Endpoint("10.0.0.2", 5000, "uid-2", 17081),), "6d4f8c7b9"),
                ),
                routes=(HeaderRoute("insiders", (("x-group", Match(EXACT, "insiders")),)),),
                mirrors=(MirrorRoute("copy", Weight(3500), Match(EXACT, "GET"), Match(PREFIX, "/")),),
                affinity=Affinity("coalmine", 3600),
            ),
        )
    )
)
ANSWER = json.loads(encode_answer(Answer("uid-1", "nonce", Version(7, 3), True, {CANARY: ArmCounters()})))
INJECTION = json.loads(Injection("web", 5000, 17080, 17081, False).to_json())


def test_what_is_absent_has_its_default_and_what_is_unknown_is_ignored() -> None:
    body = json.dumps({"term": 1, "counter": 2, "pod": "p", "nonce": "n", "mirror": {"to": "x"}})
    assert decode(body.encode()) == Document(Version(1, 2), "p", "n", Routing())
    assert decode_answer(b'{"pod": "p", "nonce": "n", "later": 1}') == Answer("p", "n", None, False, schema=1)


def _set(*path: Any, to: Any) -> Any:
    """A change: the value at `path` becomes `to`."""

    def change(raw: Any) -> Any:
        raw = copy.deepcopy(raw)
        at = raw
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = to
        return raw

    return change


MALFORMED_DOCUMENTS = {
    "term as text": _set("term", to="7"),
    "term as a float": _set("term", to=7.0),
    "term as a flag": _set("term", to=True),
    "negative counter": _set("counter", to=-1),
    "counter beyond 63 bits": _set("counter", to=1 << 63),
    "no pod": _set("pod", to=None),
    "a long pod": _set("pod", to="x" * 257),
    "nonce as a number": _set("nonce", to=5),
    "arms as a mapping": _set("arms", to={}),
    "arms as text": _set("arms", to="stable"),
    "an arm that is null": _set("arms", 0, to=None),
    "shares that do not sum up": _set("arms", 0, "share", to=70),
    "a share with three decimals": _set("arms", 0, "share", to=79.999),
    "a share beyond arithmetic": _set("arms", 0, "share", to="9e999999"),
    "a share that is no number": _set("arms", 0, "share", to=float("nan")),
    "two arms of one name": _set("arms", 0, "name", to=CANARY),
    "endpoints as a mapping": _set("arms", 0, "endpoints", to={}),
    "no endpoints": _set("arms", 0, to={"name": "a", "share": 80}),
    "port 0": _set("arms", 0, "endpoints", 0, "port", to=0),
    "port 65536": _set("arms", 0, "endpoints", 0, "admin", to=65_536),
    "a name for an address": _set("arms", 0, "endpoints", 0, "address", to="example.org"),
    "a long address": _set("arms", 0, "endpoints", 0, "address", to="1" * 300),
    "paths as text": _set("localPaths", to="/metrics"),
    "a path that is none": _set("localPaths", to=["metrics"]),
    "a path that is a number": _set("localPaths", to=[5]),
    "a flag as text": _set("drain", to="false"),
    "a flag as null": _set("pin", to=None),
    "a version that is no word": _set("arms", 1, "version", to="a;b"),
    "a version of 65 letters": _set("arms", 1, "version", to="a" * 65),
    "routes as a mapping": _set("routes", to={}),
    "too many routes": lambda raw: {**raw, "routes": raw["routes"] * 65},
    "a route without a header": _set("routes", 0, "headers", to=[]),
    "a route without a name": _set("routes", 0, "name", to=""),
    "a route to nowhere": _set("routes", 0, "arm", to=None),
    "seventeen headers": lambda raw: _set("routes", 0, "headers", to=raw["routes"][0]["headers"] * 17)(raw),
    "a header in upper case": _set("routes", 0, "headers", 0, "name", to="X-Group"),
    "a header that is no token": _set("routes", 0, "headers", 0, "name", to="x group"),
    "a match of two kinds": _set("routes", 0, "headers", 0, "match", to={"exact": "a", "prefix": "a"}),
    "a match of none": _set("routes", 0, "headers", 0, "match", to={}),
    "an empty match": _set("routes", 0, "headers", 0, "match", to={"exact": ""}),
    "a match of two lines": _set("routes", 0, "headers", 0, "match", to={"exact": "a\nb"}),
    "a match outside ASCII": _set("routes", 0, "headers", 0, "match", to={"prefix": "é"}),
    "a match of 257 characters": _set("routes", 0, "headers", 0, "match", to={"exact": "a" * 257}),
    "no regular expression": _set("routes", 0, "headers", 0, "match", to={"regex": "("}),
    "an expression with a look behind it": _set("routes", 0, "headers", 0, "match", to={"regex": "(?<=a)b"}),
    "an expression of a million states": _set("routes", 0, "headers", 0, "match", to={"regex": "((a{99}){99}){99}"}),
    "mirrors as text": _set("mirrors", to="all"),
    "too many mirrors": lambda raw: {**raw, "mirrors": raw["mirrors"] * 65},
    "a mirror of 101 %": _set("mirrors", 0, "share", to=101),
    "a mirror without a share": _set("mirrors", 0, to={"name": "copy", "arm": "canary", "headers": []}),
    "a method as text": _set("mirrors", 0, "method", to="GET"),
    "a cookie with an equals sign": _set("affinity", "cookie", to="a=b"),
    "a cookie without a name": _set("affinity", "cookie", to=""),
    "a cookie of no age": _set("affinity", "maxAge", to=0),
    "a cookie of two years": _set("affinity", "maxAge", to=2 * 365 * 86_400),
    "affinity as a flag": _set("affinity", to=True),
    "balance as a number": _set("balance", to=1),
    "ejection as a flag": _set("ejection", to=False),
    "ejection after 0 failures": _set("ejection", "consecutive", to=0),
    "ejection for no time": _set("ejection", "seconds", to=0),
    "ejection for ever": _set("ejection", "seconds", to=float("inf")),
    "ejection for an unknown time": _set("ejection", "seconds", to=float("nan")),
    "ejection of 101 %": _set("ejection", "percent", to=101),
}


@pytest.mark.parametrize("change", MALFORMED_DOCUMENTS.values(), ids=MALFORMED_DOCUMENTS)
def test_malformed_documents(change: Any) -> None:
    assert decode(json.dumps(DOCUMENT).encode())
    with pytest.raises(RemoteError, match="the configuration document is malformed: "):
        decode(json.dumps(change(DOCUMENT)).encode())


MALFORMED_ANSWERS = {
    "another shape": lambda raw: [raw],
    "no nonce": lambda raw: {k: v for k, v in raw.items() if k != "nonce"},
    "applied as a list": _set("applied", to=[7, 3]),
    "applied cut": _set("applied", to={"term": 7}),
    "counters as a list": _set("counters", to=[1]),
    "counts as text": _set("counters", CANARY, "requests", to="12345"),
    "an infinite count": _set("counters", CANARY, "requests", to=[float("inf")]),
    "a negative count": _set("counters", CANARY, "failures", to=[-1]),
    "too many counts": _set("counters", CANARY, "latency", to=[0] * 65),
    "no latency": _set("counters", CANARY, "latencyMs", to=float("nan")),
    "a latency beyond floats": _set("counters", CANARY, "latencyMs", to=10**400),
    "a negative latency": _set("counters", CANARY, "latencyMs", to=-0.5),
    "an arm's counters as text": _set("counters", CANARY, to="none"),
}


@pytest.mark.parametrize("change", MALFORMED_ANSWERS.values(), ids=MALFORMED_ANSWERS)
def test_malformed_answers(change: Any) -> None:
    assert decode_answer(json.dumps(ANSWER).encode())
    with pytest.raises(RemoteError, match="the sidecar's answer is malformed: "):
        decode_answer(json.dumps(change(ANSWER)).encode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "5",
        "[]",
        "{}",
        "not JSON",
        "[" * 100000,
        json.dumps({**INJECTION, "appPort": 0}),
        json.dumps({**INJECTION, "canary": "no"}),
        json.dumps({**INJECTION, "portName": 5}),
    ],
    ids=range(10),
)
def test_a_forged_injection(text: str) -> None:
    with pytest.raises(RemoteError, match="malformed"):
        Injection.from_json(text)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def _paths(raw: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else ()
    found = [path] if path else []
    for key, value in items:
        found += _paths(value, (*path, key))
    return found


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(_paths(DOCUMENT)), _JSON)
def test_one_wrong_value_in_a_document(path: tuple[Any, ...], value: Any) -> None:
    with contextlib.suppress(RemoteError):
        decode(json.dumps(_set(*path, to=value)(DOCUMENT)).encode())


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(_paths(ANSWER)), _JSON)
def test_one_wrong_value_in_an_answer(path: tuple[Any, ...], value: Any) -> None:
    with contextlib.suppress(RemoteError):
        decode_answer(json.dumps(_set(*path, to=value)(ANSWER)).encode())


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=64)
    | st.text(max_size=64).map(lambda t: t.encode(errors="replace"))
    | _JSON.map(lambda v: json.dumps(v).encode())
)
def test_any_bytes(body: bytes) -> None:
    for read in (decode, decode_answer):
        with contextlib.suppress(RemoteError):
            read(body)


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b"9" * 5000, b'{"term": ' + b"9" * 5000 + b"}"]
)
def test_bytes_that_parsers_dislike(body: bytes) -> None:
    for read in (decode, decode_answer):
        with pytest.raises(RemoteError):
            read(body)


@pytest.mark.parametrize(
    "arms", [(Arm("a", Weight(9999), ()),), (Arm("a", Weight(5000), ()), Arm("a", Weight(5000), ()))]
)
def test_a_routing_cannot_be_invalid(arms: tuple[Arm, ...]) -> None:
    with pytest.raises(ValueError, match=r"sum to 100|one name"):
        Routing(arms)


def test_versions_are_ordered_by_term_first() -> None:
    assert Version(1, 500) < Version(2, 0) < Version(2, 1)
