"""The static file: a sidecar that stands alone, in the words of strategy and annotation."""

from __future__ import annotations

from pathlib import Path

import pytest

from coalmine.model import wire
from coalmine.model.errors import SpecError
from coalmine.model.proxy_settings import DEFAULTS
from coalmine.model.weights import Weight
from coalmine_proxy.static import load_static, parse_static


def test_the_least() -> None:
    static = parse_static({"stable": ["127.0.0.1:80", "[::1]:81"], "canary": ["localhost:82"], "weight": 0.5})
    assert [arm.share.percent for arm in static.routing.arms] == [99.5, 0.5]
    assert [(e.address, e.port) for arm in static.routing.arms for e in arm.endpoints] == [
        ("127.0.0.1", 80),
        ("::1", 81),
        ("127.0.0.1", 82),
    ]
    assert (static.protocol, static.settings) == ("http", DEFAULTS)
    assert static.routing == wire.Routing(static.routing.arms, local_paths=())


FULL = """
stable: [127.0.0.1:8001, 127.0.0.1:8002]
canary: [127.0.0.1:8003]
weight: 20
routes:
- name: insiders
  match:
  - headerName: X-Group
    headerValue: {exact: insiders}
  - headerName: User-Agent
    headerValue: {regex: .*Canary.*}
mirrors:
- name: reads
  percentage: 35
  match:
  - method: {exact: GET}
    path: {prefix: /api}
affinity: {cookie: who, maxAge: 1h}
balance: leastRequest
ejection: {consecutive: 3, time: 10s, percent: 30}
protocol: http
settings:
  timeouts: {idle: 5m}
  pin: false
"""


def test_everything(tmp_path: Path) -> None:
    file = tmp_path / "static.yaml"
    file.write_text(FULL)
    static = load_static(file)
    routing = static.routing
    assert routing.routes == (
        wire.HeaderRoute("insiders", (("x-group", wire.Match(wire.EXACT, "insiders")),)),
        wire.HeaderRoute("insiders", (("user-agent", wire.Match(wire.REGEX, ".*Canary.*")),)),
    )
    assert routing.mirrors == (
        wire.MirrorRoute("reads", Weight(3500), wire.Match(wire.EXACT, "GET"), wire.Match(wire.PREFIX, "/api")),
    )
    assert (routing.affinity, routing.balance) == (wire.Affinity("who", 3600), wire.LEAST_REQUEST)
    assert (routing.ejection, routing.pin) == (wire.Ejection(3, 10.0, 30), False)
    assert static.settings.timeouts == (("idle", 300.0),)
    # a cookie needs a version to be for
    assert [arm.version for arm in routing.arms] == ["", "canary"]


REFUSED = {
    "a list": ([], ""),
    "a typing error": ({"stabel": []}, "stabel"),
    "stable as a word": ({"stable": "x"}, "stable"),
    "no address": ({"stable": ["x"]}, "stable[0]"),
    "a name": ({"stable": ["example.com:80"]}, "stable[0]"),
    "a port beyond": ({"stable": ["1.1.1.1:99999"]}, "stable[0]"),
    "a weight beyond": ({"weight": 101}, "weight"),
    "an unknown protocol": ({"protocol": "udp"}, "protocol"),
    "routes as a mapping": ({"routes": {}}, "routes"),
    "a route without a name": ({"routes": [{}]}, "routes[0].name"),
    "an expression that is none": (
        {"mirrors": [{"name": "a", "match": [{"path": {"regex": "("}}]}]},
        "mirrors[0].match[0].path.regex",
    ),
    "too many routes": ({"mirrors": [{"name": str(i), "match": [{}]} for i in range(65)]}, "mirrors"),
    "a bad cookie": ({"affinity": {"cookie": ""}}, "affinity.cookie"),
    "a bad setting": ({"settings": {"timeouts": {"idle": 0}}}, "settings.timeouts.idle"),
    "a setting twice": ({"settings": {"balance": "random"}, "balance": "random"}, "settings.balance"),
    "settings as a list": ({"settings": []}, "settings"),
}


@pytest.mark.parametrize(("raw", "path"), REFUSED.values(), ids=REFUSED)
def test_refused(raw: object, path: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_static(raw)
    assert caught.value.path == path


def test_a_file_that_is_no_yaml(tmp_path: Path) -> None:
    file = tmp_path / "static.yaml"
    file.write_text("stable: [")
    with pytest.raises(SpecError, match="not YAML at line 1"):
        load_static(file)
