"""How a sidecar that stands alone is to work: benchmarks, tests, users without Kubernetes.

The file is YAML or JSON: ``{stable: [host:port], canary: [host:port], weight: 20}``, and, where more is wanted,
``routes`` and ``mirrors`` in the words of the steps setHeaderRoute and setMirrorRoute; ``affinity``,
``balance`` and ``ejection`` in those of the annotation coalmine.dev/proxy, of which all the rest may stand in
``settings``; and ``protocol``, http or tcp.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from coalmine.model import spec, wire
from coalmine.model.errors import SpecError
from coalmine.model.proxy_settings import ProxySettings, read_settings
from coalmine.model.route_steps import InForce, SetHeaderRoute, SetMirrorRoute, read_header_route, read_mirror_route
from coalmine.model.weights import Weight

#: Those that stand for themselves here, rather than in ``settings``.
_SETTINGS: Final = ("affinity", "balance", "ejection")
_FIELDS: Final = ("stable", "canary", "weight", "routes", "mirrors", *_SETTINGS, "protocol", "settings")
_ADVICE: Final = "write {stable: [host:port], canary: [], weight: 0}"
PROTOCOLS: Final = ("http", "tcp")
#: A client's cookie names the version that it is for. There is no other name for the canary here.
_VERSION: Final = "canary"


@dataclass(frozen=True, slots=True)
class Static:
    """What a file says."""

    routing: wire.Routing
    settings: ProxySettings
    protocol: str


def parse_address(text: object, path: str) -> tuple[str, int]:
    """Read ``host:port`` or ``[v6]:port``; the host is an address or localhost. Raises SpecError."""
    advice = "write an address and a port, for example 127.0.0.1:8080 or [::1]:8080"
    host, colon, port = str(text).rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise SpecError(path, f"{text!r} is not an address with a port", advice)
    host = "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
    except ValueError as error:
        raise SpecError(path, f"{text!r} does not begin with an address: {error}", advice) from error
    return host, int(port)


def parse_static(raw: Any) -> Static:
    """Read what was parsed of a static file. Raises SpecError."""
    fields = spec.mapping(raw, "", _ADVICE)
    spec.known(fields, _FIELDS, "", {})
    protocol = fields.get("protocol", "http")
    if protocol not in PROTOCOLS:
        raise SpecError("protocol", f"{str(protocol)[:40]!r} is unknown", f"write {' or '.join(PROTOCOLS)}")
    weight = Weight.parse(fields.get("weight", 0), "weight")
    stable = Weight(Weight.FULL.hundredths - weight.hundredths)
    settings = _settings(fields)
    routes = _routes(fields)
    routing = wire.Routing(
        arms=(
            wire.Arm(wire.STABLE, stable, _endpoints(fields, "stable")),
            wire.Arm(wire.CANARY, weight, _endpoints(fields, "canary"), _VERSION),
        ),
        # There is no pod of our own that could serve them.
        local_paths=(),
        pin=settings.pin,
        routes=routes.headers,
        mirrors=routes.mirrors,
        affinity=settings.affinity,
        balance=settings.balance,
        ejection=settings.ejection,
    )
    return Static(routing, settings, protocol)


def _settings(fields: Mapping[str, Any]) -> ProxySettings:
    advice = "write what the annotation coalmine.dev/proxy says"
    below = spec.mapping({} if fields.get("settings") is None else fields["settings"], "settings", advice)
    for key in _SETTINGS:
        if key in fields and key in below:
            raise SpecError(f"settings.{key}", "is given twice", f"write {key} once")
    try:
        read_settings(dict(below))
    except SpecError as error:
        raise error.under("settings") from None
    return read_settings({**below, **{key: fields[key] for key in _SETTINGS if key in fields}})


def _routes(fields: Mapping[str, Any]) -> InForce:
    """Routes in the order in which they stand."""
    headers: list[SetHeaderRoute] = [
        read_header_route(one, f"routes[{i}]") for i, one in enumerate(spec.sequence(fields.get("routes"), "routes"))
    ]
    mirrors: list[SetMirrorRoute] = [
        read_mirror_route(one, f"mirrors[{i}]") for i, one in enumerate(spec.sequence(fields.get("mirrors"), "mirrors"))
    ]
    found = InForce(
        tuple(route for step in headers for route in step.routes),
        tuple(route for step in mirrors for route in step.routes),
    )
    for key, routes in (("routes", found.headers), ("mirrors", found.mirrors)):
        if len(routes) > wire.MAX_ROUTES:
            raise SpecError(key, f"{len(routes)} entries of match are too many", f"write at most {wire.MAX_ROUTES}")
    return found


def load_static(file: Path) -> Static:
    """Read a static file. Raises SpecError and OSError."""
    # YAML costs half a megabyte of memory that a sidecar in a pod does not need.
    from coalmine.model.yaml_text import load

    return parse_static(load(file.read_text(errors="replace"), "", _ADVICE))


def _endpoints(raw: Mapping[str, Any], field: str) -> tuple[wire.Endpoint, ...]:
    listed = raw.get(field) or []
    if not isinstance(listed, list):
        raise SpecError(field, "is not a list", "write a list of host:port")
    found = []
    for i, text in enumerate(listed):
        host, port = parse_address(text, f"{field}[{i}]")
        found.append(wire.Endpoint(host, port, uid="", admin=0))
    return tuple(found)
