"""Which port of a pod the sidecar takes over, and which two ports it listens on itself.

PURE. Which protocol it speaks there, and how it is to work, are read with it. One set of rules
for the Deployment webhook, which refuses a template that has no port to take, and for the Pod webhook,
which takes it. Errors are `SpecError`: they name the field and say what to write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from coalmine.model import proxy_settings
from coalmine.model.errors import SpecError
from coalmine.model.names import ADMIN_PORT, LOCAL_PATHS, PORT, PROTOCOL, PROXY, PROXY_PORT
from coalmine.model.proxy_settings import ProxySettings, parse_settings

_CONTAINERS: Final = "spec.template.spec.containers"
#: Names that are taken without being told, when there are several.
_USUAL: Final = ("http", "web")
#: Local paths go to the sidecar as one argument: 16 of them are far beyond any use.
_MOST_PATHS: Final = 16
_LONGEST_PATH: Final = 256
_DEFAULT_LOCAL_PATHS: Final = ("/metrics",)

HTTP: Final = "http"
TCP: Final = "tcp"


@dataclass(frozen=True, slots=True)
class Options:
    """What the optional annotations ask for. `port` None: choose by the rules.

    `workload` is the Deployment's name, where it is known: it stands in metrics.
    """

    port: str | None = None
    local_paths: tuple[str, ...] = _DEFAULT_LOCAL_PATHS
    protocol: str = HTTP
    settings: ProxySettings = proxy_settings.DEFAULTS
    workload: str = ""


DEFAULTS: Final = Options()


@dataclass(frozen=True, slots=True)
class Taken:
    """The application's port: its name goes to the sidecar, its number stays."""

    name: str
    number: int


def read_options(annotations: Mapping[str, str]) -> Options:
    """Read ``port``, ``protocol``, ``local-paths`` and ``proxy``. Raises SpecError."""
    protocol = annotations.get(PROTOCOL, HTTP).strip()
    if protocol not in (HTTP, TCP):
        path = f"metadata.annotations[{PROTOCOL}]"
        raise SpecError(path, f"{protocol[:40]!r} is unknown", 'write "http" or "tcp", or remove the annotation')
    text = annotations.get(LOCAL_PATHS)
    settings = annotations.get(PROXY)
    return Options(
        port=annotations[PORT].strip() if PORT in annotations else None,
        local_paths=_DEFAULT_LOCAL_PATHS if text is None else _local_paths(text),
        protocol=protocol,
        settings=proxy_settings.DEFAULTS if settings is None else parse_settings(settings),
    )


def _local_paths(text: str) -> tuple[str, ...]:
    path = f"metadata.annotations[{LOCAL_PATHS}]"
    advice = 'write paths that begin with "/", with commas between them, for example "/metrics,/debug"'
    paths = tuple(part.strip() for part in text.split(",")) if text.strip() else ()
    if len(paths) > _MOST_PATHS:
        raise SpecError(path, f"{len(paths)} paths are too many", f"write at most {_MOST_PATHS}")
    for part in paths:
        plain = part.isascii() and part.isprintable() and not set(part) & set(' ?#"')
        if not part.startswith("/") or not plain or len(part) > _LONGEST_PATH:
            raise SpecError(path, f"{part[:60]!r} is not a path", advice)
    return paths


def serving_containers(pod_spec: Mapping[str, Any]) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    """List, index and container of all that run beside each other, in the order in which the
    endpoints controller looks for a named port (containers, then restartable init containers)."""
    for index, container in enumerate(pod_spec.get("containers") or ()):
        yield "containers", index, container
    for index, container in enumerate(pod_spec.get("initContainers") or ()):
        if container.get("restartPolicy") == "Always":
            yield "initContainers", index, container


def is_tcp(port: Mapping[str, Any]) -> bool:
    return str(port.get("protocol", "TCP")) == "TCP"


def choose_port(pod_spec: Mapping[str, Any], wanted: str | None) -> Taken:
    """The port to take: the one named `wanted`; else the only named TCP port, or the one named
    http or web. Raises SpecError."""
    named: dict[str, int] = {}
    for _, _, container in serving_containers(pod_spec):
        for port in container.get("ports") or ():
            if port.get("name") and is_tcp(port):
                named.setdefault(str(port["name"]), int(port["containerPort"]))
    names = ", ".join(sorted(named))
    path = f"metadata.annotations[{PORT}]"
    if wanted is not None:
        if wanted in named:
            return Taken(wanted, named[wanted])
        there = f"named TCP ports here: {names}" if names else "no TCP port here has a name"
        raise SpecError(path, f"no container has a TCP port named {wanted[:40]!r}", f"{there}; write one that exists")
    if not named:
        raise SpecError(
            _CONTAINERS,
            "no TCP port has a name",
            "give the port that the Service should reach a name, for example {name: web, containerPort: 8080}, "
            "and write that name as the Service's targetPort",
        )
    usual = list(named) if len(named) == 1 else [name for name in _USUAL if name in named]
    if len(usual) != 1:
        raise SpecError(
            path,
            f"is needed, as there are several named TCP ports: {names}",
            "write the name of the one that the Service targets",
        )
    return Taken(usual[0], named[usual[0]])


def free_pair(pod_spec: Mapping[str, Any]) -> tuple[int, int]:
    """The sidecar's proxy and admin port: the usual pair, or the next one that no container declares."""
    declared = {
        int(port["containerPort"])
        for key in ("containers", "initContainers")
        for container in pod_spec.get(key) or ()
        for port in container.get("ports") or ()
    }
    proxy, admin = PROXY_PORT, ADMIN_PORT
    while {proxy, admin} & declared:
        proxy, admin = proxy + 2, admin + 2
    if admin > 32_767:
        # from 32768 on the kernel gives ports away to outgoing connections (ip_local_port_range)
        raise SpecError(_CONTAINERS, "the ports from 17080 on are all taken", "declare fewer ports")
    return proxy, admin
