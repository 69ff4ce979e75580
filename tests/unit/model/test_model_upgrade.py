"""An older and a newer sidecar under one controller: documents and answers cross from one version to the other.

`recorded/` holds the documents and the code of schema 1, as they were before routes came. The code is data
here: it is never changed.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from coalmine.model import wire
from coalmine.model.weights import Weight

RECORDED = Path(__file__).parent / "recorded"


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The code that understands schema 1."""
    module = types.ModuleType("wire_schema_1")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses look their module up
    source = (RECORDED / "wire_schema_1.txt").read_text()
    exec(compile(source, "wire_schema_1.txt", "exec"), module.__dict__)  # noqa: S102  our own, from this repository
    return module


ARMS = (
    wire.Arm(wire.STABLE, Weight(8000), (wire.Endpoint("10.0.0.1", 5000, "uid-1", 17081),), "6d4f8c7b9"),
    wire.Arm(wire.CANARY, Weight(2000), (wire.Endpoint("10.0.0.2", 5000, "uid-2", 17081),), "7f9c6b5d4"),
)
#: Everything that schema 2 added.
NEW = wire.Routing(
    ARMS,
    routes=(wire.HeaderRoute("insiders", (("x-group", wire.Match(wire.REGEX, "insiders|staff")),)),),
    mirrors=(wire.MirrorRoute("copy", Weight(3500), wire.Match(wire.EXACT, "GET"), wire.Match(wire.PREFIX, "/api")),),
    affinity=wire.Affinity("coalmine", 3600),
    balance=wire.LEAST_REQUEST,
    ejection=None,
)


def test_a_newer_sidecar_takes_an_older_controllers_document() -> None:
    document = wire.decode((RECORDED / "document_schema_1.json").read_bytes())
    assert (document.version, document.pod, document.nonce) == (wire.Version(7, 3), "uid-1", "nonce")
    routing = document.routing
    assert [(arm.name, arm.share.percent, arm.version) for arm in routing.arms] == [
        ("stable", 60, ""),
        ("control", 20, ""),
        ("canary", 20, ""),
    ]
    assert routing.arms[0].endpoints[1] == wire.Endpoint("fd00::2", 5000, "uid-2", 17081)
    assert (routing.local_paths, routing.pin, routing.close, routing.drain) == (
        ("/metrics", "/debug"),
        True,
        True,
        False,
    )
    assert (routing.routes, routing.mirrors, routing.affinity) == ((), (), None)
    assert (routing.balance, routing.ejection) == (wire.RANDOM, wire.Ejection())
    assert routing.beyond == ""


def test_an_older_sidecar_takes_a_newer_controllers_document_and_splits_as_told(old: Any) -> None:
    document = old.decode(wire.encode(wire.Document(wire.Version(7, 4), "uid-1", "nonce", NEW)))
    assert (document.version, document.pod, document.nonce) == ((7, 4), "uid-1", "nonce")
    assert [(arm.name, arm.share, len(arm.endpoints)) for arm in document.routing.arms] == [
        ("stable", Weight(8000), 1),
        ("canary", Weight(2000), 1),
    ]
    assert document.routing.local_paths == ("/metrics",)


def test_an_older_sidecar_says_so_by_its_silence(old: Any) -> None:
    answer = wire.decode_answer((RECORDED / "answer_schema_1.json").read_bytes())
    assert (answer.schema, answer.applied, answer.ready) == (1, wire.Version(7, 3), True)
    assert (answer.counters["canary"].total, answer.counters["canary"].pinned) == (10, 2)
    newer = wire.encode_answer(wire.Answer("uid-1", "nonce", wire.Version(7, 4), True))
    assert wire.decode_answer(newer).schema == wire.SCHEMA == 2
    assert old.decode_answer(newer) == old.Answer("uid-1", "nonce", (7, 4), True)  # an older controller


def test_what_an_older_sidecar_would_not_follow_has_a_name() -> None:
    assert NEW.beyond == "header routes and mirror routes and affinity"
    # these are no less right without: another endpoint of the same version
    assert wire.Routing(ARMS, balance=wire.LEAST_REQUEST, ejection=None).beyond == ""


def test_a_word_of_a_newer_controller_costs_its_route_and_not_the_document() -> None:
    body = wire.encode(wire.Document(wire.Version(7, 5), "uid-1", "nonce", NEW))
    later = (
        body.replace(b'"schema":2', b'"schema":3')
        .replace(b'{"regex":"insiders|staff"}', b'{"suffix":"staff"}')
        .replace(b'"method":{"exact":"GET"}', b'"query":{"exact":"a=b"}')
        .replace(b'"balance":"leastRequest"', b'"balance":"ringHash"')
    )
    routing = wire.decode(later).routing
    assert (routing.routes, routing.mirrors, routing.balance) == ((), (), wire.RANDOM)
    assert (routing.arms, routing.affinity) == (ARMS, NEW.affinity)
