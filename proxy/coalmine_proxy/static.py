"""A routing from a file, for a sidecar that stands alone: benchmarks, tests, users without Kubernetes.

The file is YAML or JSON: ``{stable: [host:port], canary: [host:port], weight: 20}``.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any, Final

from coalmine.model import wire
from coalmine.model.errors import SpecError
from coalmine.model.weights import Weight

_FIELDS: Final = ("stable", "canary", "weight")


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


def parse_static(raw: Any) -> wire.Routing:
    """The routing that a static file describes. Raises SpecError."""
    if not isinstance(raw, dict):
        raise SpecError("", "the static file is not a mapping", "write {stable: [host:port], canary: [], weight: 0}")
    for key in raw:
        if key not in _FIELDS:
            raise SpecError(str(key), "unknown field", f"write one of {', '.join(_FIELDS)}")
    weight = Weight.parse(raw.get("weight", 0), "weight")
    stable = Weight(Weight.FULL.hundredths - weight.hundredths)
    return wire.Routing(
        arms=(
            wire.Arm(wire.STABLE, stable, _endpoints(raw, "stable")),
            wire.Arm(wire.CANARY, weight, _endpoints(raw, "canary")),
        ),
        # There is no pod of our own that could serve them.
        local_paths=(),
    )


def load_static(file: Path) -> wire.Routing:
    """Read a static file. Raises SpecError and OSError."""
    # YAML costs half a megabyte of memory that a sidecar in a pod does not need.
    import yaml

    try:
        raw = yaml.safe_load(file.read_bytes())
    except yaml.YAMLError as error:
        raise SpecError("", f"the static file is not YAML: {error}", "write {stable: [host:port]}") from error
    return parse_static(raw)


def _endpoints(raw: dict[str, Any], field: str) -> tuple[wire.Endpoint, ...]:
    listed = raw.get(field) or []
    if not isinstance(listed, list):
        raise SpecError(field, "is not a list", "write a list of host:port")
    found = []
    for i, text in enumerate(listed):
        host, port = parse_address(text, f"{field}[{i}]")
        found.append(wire.Endpoint(host, port, uid="", admin=0))
    return tuple(found)
