"""The annotation coalmine.dev/proxy: what is accepted, what is refused and how, and what injection passes on."""

from __future__ import annotations

import contextlib
import ipaddress
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.model.errors import SpecError
from coalmine.model.proxy_settings import (
    DEFAULTS,
    EVERYBODY,
    LIMITS,
    TIMEOUTS,
    ProxySettings,
    parse_settings,
    read_settings,
)
from coalmine.model.routes import LEAST_REQUEST, Affinity, Ejection
from coalmine.model.weights import Weight
from coalmine_proxy.limits import DEFAULT, Limits

NET = ipaddress.ip_network

ACCEPTED = {
    "nothing": ("", DEFAULTS),
    "an empty mapping": ("{}", DEFAULTS),
    "keys left empty": ("{timeouts: , limits: , forwarded: , affinity: , ejection: , logs: }", DEFAULTS),
    "durations as everywhere": (
        "timeouts: {idle: 90s, head: 5, firstByte: 1m30s, connect: 500ms}",
        ProxySettings(timeouts=(("head", 5.0), ("idle", 90.0), ("connect", 0.5), ("firstByte", 90.0))),
    ),
    "sizes as quantities": (
        "limits: {head: 64Ki, line: 16384, held: 1Mi, trailers: 2k, connections: 500}",
        ProxySettings(
            limits=(("line", 16384), ("head", 65536), ("trailers", 2000), ("held", 1 << 20), ("connections", 500))
        ),
    ),
    "trust in all": ("forwarded: {trust: all}", ProxySettings(trusted=EVERYBODY)),
    "trust in none": ("forwarded: {trust: none}", ProxySettings(trusted=())),
    "trust in some": (
        "forwarded: {trust: [10.0.0.0/8, 'fd00::/8', 192.0.2.1]}",
        ProxySettings(trusted=(NET("10.0.0.0/8"), NET("fd00::/8"), NET("192.0.2.1/32"))),
    ),
    "the Istio names": ("metrics: {istio: true}", ProxySettings(istio=True)),
    "a sample": ("logs: {sample: 0.5}", ProxySettings(log_sample=Weight(50))),
    "workers": ("workers: 2", ProxySettings(workers=2)),
    "affinity": ("affinity: {cookie: who, maxAge: 1h}", ProxySettings(affinity=Affinity("who", 3600))),
    "affinity by default": ("affinity: {}", ProxySettings(affinity=Affinity("coalmine", 86_400))),
    "balance": ("balance: leastRequest", ProxySettings(balance=LEAST_REQUEST)),
    "ejection": (
        "ejection: {consecutive: 3, time: 10s, percent: 30}",
        ProxySettings(ejection=Ejection(3, 10.0, 30)),
    ),
    "some of an ejection": ("ejection: {percent: 0}", ProxySettings(ejection=Ejection(percent=0))),
    "no ejection": ("ejection: off", ProxySettings(ejection=None)),
    "no ejection, in quotes": ('ejection: "off"', ProxySettings(ejection=None)),
    "no pin": ("pin: false", ProxySettings(pin=False)),
}


@pytest.mark.parametrize(("text", "expected"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(text: str, expected: ProxySettings) -> None:
    assert parse_settings(text) == expected


@pytest.mark.parametrize(("text", "expected"), ACCEPTED.values(), ids=ACCEPTED)
def test_what_injection_passes_on_is_what_the_sidecar_reads(text: str, expected: ProxySettings) -> None:
    passed = parse_settings(text).for_injection()
    if not passed:
        return
    read = read_settings(json.loads(passed))
    assert read.for_injection() == passed
    for name in ("timeouts", "limits", "trusted", "istio", "log_sample", "workers"):
        assert getattr(read, name) == getattr(expected, name)
    # the other half comes with the configuration
    assert (read.affinity, read.balance, read.pin) == (None, "random", True)


def test_the_words_of_injection() -> None:
    text = "{workers: 2, timeouts: {idle: 90, connect: 0.5s}, limits: {head: 64Ki}, logs: {sample: 1}"
    text += ", metrics: {istio: no}}"
    assert parse_settings(text).for_injection() == (
        '{"limits":{"head":65536},"logs":{"sample":1},"metrics":{"istio":false},'
        '"timeouts":{"connect":"0.5s","idle":"90s"},"workers":2}'
    )
    assert parse_settings("{pin: false, affinity: {}, balance: leastRequest, ejection: off}").for_injection() == ""


#: name: (text, the path below the annotation, a part of the problem, a part of the advice)
REFUSED = {
    "a word": ("fast", "", "not a mapping", "timeouts"),
    "a typing error": ("timeout: {}", ".timeout", "is unknown", "did you mean timeouts?"),
    "an unknown timeout": ("timeouts: {idel: 5s}", ".timeouts.idel", "is unknown", "did you mean idle?"),
    "no timeout": ("timeouts: {idle: 0}", ".timeouts.idle", "0 is out of range", 'write "1s" to "86400s"'),
    "a timeout of months": ("timeouts: {connect: 2000h}", ".timeouts.connect", "out of range", '"60s"'),
    "a timeout that is none": ("timeouts: {idle: never}", ".timeouts.idle", "not a duration", "30s"),
    "timeouts as a list": ("timeouts: [5s]", ".timeouts", "not a mapping", "idle"),
    "no head": ("limits: {head: 0}", ".limits.head", "0 is not in range", "from 1024 to 1048576"),
    "a head of a gigabyte": ("limits: {head: 1Gi}", ".limits.head", "'1Gi' is not in range", "64Ki"),
    "a size in words": ("limits: {line: 8 kilobytes}", ".limits.line", "is not in range", "quantity"),
    "a number as a quantity": ("limits: {connections: 1Ki}", ".limits.connections", "not in range", "whole number"),
    "a number that is true": ("limits: {fields: yes}", ".limits.fields", "True is not in range", "whole number"),
    "half a number": ("limits: {fields: 100.5}", ".limits.fields", "100.5 is not in range", "whole number"),
    "an unknown trust": ("forwarded: {trust: some}", ".forwarded.trust", "'some' is unknown", "all, none, or a list"),
    "trust in a name": ("forwarded: {trust: [example.org]}", ".forwarded.trust[0]", "not a network", "10.0.0.0/8"),
    "trust in a number": ("forwarded: {trust: [167772160]}", ".forwarded.trust[0]", "not a network", "10.0.0.0/8"),
    "host bits": ("forwarded: {trust: [10.0.0.1/8]}", ".forwarded.trust[0]", "not a network", "10.0.0.0/8"),
    "trust in too many": (
        json.dumps({"forwarded": {"trust": ["10.0.0.0/8"] * 65}}),
        ".forwarded.trust",
        "65 networks are too many",
        "64",
    ),
    "forwarding as a word": ("forwarded: all", ".forwarded", "not a mapping", "trust"),
    "an unknown metric": ("metrics: {prometheus: true}", ".metrics.prometheus", "is unknown", "istio"),
    "a metric as a word": ("metrics: {istio: 'on'}", ".metrics.istio", "neither true nor false", "true"),
    "a sample of 101": ("logs: {sample: 101}", ".logs.sample", "101 is not a weight", "0 to 100"),
    "no worker": ("workers: 0", ".workers", "0 is not in range", "1 to 64"),
    "too many workers": ("workers: 65", ".workers", "65 is not in range", "1 to 64"),
    "a cookie with a semicolon": ("affinity: {cookie: 'a;b'}", ".affinity.cookie", "not a cookie's name", "letters"),
    "a cookie without a name": ("affinity: {cookie: ''}", ".affinity.cookie", "not a cookie's name", "letters"),
    "a cookie of no age": ("affinity: {maxAge: 0}", ".affinity.maxAge", "out of range", '"1s"'),
    "a cookie of half a second": ("affinity: {maxAge: 1.5s}", ".affinity.maxAge", "not whole seconds", "whole"),
    "affinity as a flag": ("affinity: true", ".affinity", "not a mapping", "{cookie: NAME"),
    "an unknown balance": ("balance: roundRobin", ".balance", "'roundRobin' is unknown", "random or leastRequest"),
    "ejection after none": ("ejection: {consecutive: 0}", ".ejection.consecutive", "0 is not in range", "1 to 1000"),
    "ejection for no time": ("ejection: {time: 0}", ".ejection.time", "out of range", '"3600s"'),
    "ejection of all and more": ("ejection: {percent: 101}", ".ejection.percent", "101 is not in range", "0 to 100"),
    "ejection as a flag": ("ejection: true", ".ejection", "not a mapping", "off"),
    "pin as a word": ("pin: maybe", ".pin", "neither true nor false", "true"),
    "not YAML": ("timeouts: [", "", "not YAML at line 1", "write a mapping"),
    "an alias": ("timeouts: &a {}\nlimits: *a", "", "aliases are not allowed", "write a mapping"),
    "too long": ("#" * 65_537, "", "characters are too many", "65536"),
}


@pytest.mark.parametrize(("text", "path", "problem", "advice"), REFUSED.values(), ids=REFUSED)
def test_refused(text: str, path: str, problem: str, advice: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_settings(text)
    assert caught.value.path == f"metadata.annotations[coalmine.dev/proxy]{path}"
    assert problem in caught.value.problem
    assert advice in caught.value.advice
    assert len(str(caught.value)) < 400, "an error does not repeat what is long"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_KEYS = st.sampled_from(
    ("timeouts", "limits", "forwarded", "metrics", "logs", "workers", "affinity", "balance", "ejection", "pin")
)
_INNER = st.sampled_from((*TIMEOUTS, *LIMITS, "trust", "istio", "sample", "cookie", "maxAge", "time", "percent"))


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(_KEYS, _JSON | st.dictionaries(_INNER, _JSON, max_size=2), max_size=3))
def test_nothing_but_settings_or_a_sentence_comes_out(raw: dict[str, Any]) -> None:
    with contextlib.suppress(SpecError):
        read = read_settings(raw)
        passed = read.for_injection()
        assert not passed or read_settings(json.loads(passed)).for_injection() == passed
        Limits.of(read)


def test_limits_of_settings() -> None:
    assert Limits.of(DEFAULTS) == DEFAULT
    given = parse_settings("{timeouts: {head: 3, firstByte: 4, idle: 5}, limits: {head: 4Ki, idlePerEndpoint: 6}}")
    limits = Limits.of(given)
    assert (limits.head_time, limits.first_byte, limits.idle) == (3.0, 4.0, 5.0)
    assert (limits.head, limits.idle_per_endpoint) == (4096, 6)


@pytest.mark.parametrize("table", [TIMEOUTS, LIMITS], ids=["timeouts", "limits"])
def test_each_word_is_a_limit_and_its_default_is_within_the_bounds(table: dict[str, tuple[float, float]]) -> None:
    for key, (least, most) in table.items():
        group = "timeouts" if table is TIMEOUTS else "limits"
        for edge in (least, most):
            value = f"{edge:g}s" if table is TIMEOUTS else int(edge)
            limits = Limits.of(read_settings({group: {key: value}}))
            changed = [f for f in Limits.__slots__ if getattr(limits, f) != getattr(DEFAULT, f)]
            assert len(changed) == 1, key
            assert getattr(limits, changed[0]) == edge
            assert least <= getattr(DEFAULT, changed[0]) <= most
