"""Service meshes: mutual TLS in the way of the admin port and of peers.

Pure. The sidecars speak plain HTTP to the application's port of peers, by pod address, and the controller, which is in
no mesh, to their admin port. With Istio's STRICT, or a Linkerd policy that wants authenticated clients, the mesh's
proxy refuses both, unless those ports are taken out. Clients come to the sidecar's own port, which stays in the mesh.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from coalmine.kube.resources import PEER_AUTHENTICATIONS, Object, labels_of, namespace_of
from coalmine.model.wire import Injection
from coalmine_cli.checking.findings import Finding, about, failed, ok, skipped, warning
from coalmine_cli.checking.sidecars import containers_of, ports_of
from coalmine_cli.checking.sight import Sight, matches, pod_labels

ISTIO_ROOT: Final = "istio-system"
_ISTIO_IN: Final = "traffic.sidecar.istio.io/excludeInboundPorts"
_ISTIO_OUT: Final = "traffic.sidecar.istio.io/excludeOutboundPorts"
_LINKERD_IN: Final = "config.linkerd.io/skip-inbound-ports"
_LINKERD_OUT: Final = "config.linkerd.io/skip-outbound-ports"
_LINKERD_POLICY: Final = "config.linkerd.io/default-inbound-policy"
#: What a workload's mode is where nothing is said of a port.
_NO_PORT: Final = 0
#: Those that want a client's identity, or nobody.
_STRICT_POLICIES: Final = ("all-authenticated", "cluster-authenticated", "deny")


def check(sight: Sight, deployment: Object) -> Iterator[Finding]:
    """Whether its pods are in a mesh, and what that asks for."""
    pods = sight.pods_of(deployment)
    injection = ports_of(deployment, pods)
    if injection is None:
        return
    space = sight.namespace(namespace_of(deployment)) or {"metadata": {}}
    template = deployment["spec"]["template"]
    if _in_istio(space, template, pods):
        yield from _istio(sight, deployment, injection, ambient=_is_ambient(space))
    if _in_linkerd(space, template, pods):
        yield from _linkerd(deployment, space, injection)


def _annotations(obj: Mapping[str, Any]) -> Mapping[str, str]:
    return (obj.get("metadata") or {}).get("annotations") or {}


def _runs(pods: list[Object], container: str) -> bool:
    return any(c.get("name") == container for p in pods for c in containers_of(p["spec"]))


def _in_istio(space: Object, template: Mapping[str, Any], pods: list[Object]) -> bool:
    labels = (template.get("metadata") or {}).get("labels") or {}
    wish = labels.get("sidecar.istio.io/inject", _annotations(template).get("sidecar.istio.io/inject"))
    if wish is not None:
        return bool(wish == "true")
    spaces = labels_of(space)
    return (
        _is_ambient(space)
        or spaces.get("istio-injection") == "enabled"
        or "istio.io/rev" in spaces
        or _runs(pods, "istio-proxy")
    )


def _is_ambient(space: Object) -> bool:
    return labels_of(space).get("istio.io/dataplane-mode") == "ambient"


def _in_linkerd(space: Object, template: Mapping[str, Any], pods: list[Object]) -> bool:
    key = "linkerd.io/inject"
    wish = _annotations(template).get(key, _annotations(space).get(key))
    return wish in ("enabled", "ingress") or (wish is None and _runs(pods, "linkerd-proxy"))


def _istio(sight: Sight, deployment: Object, injection: Injection, *, ambient: bool) -> Iterator[Finding]:
    where, found = about(deployment), sight.of(PEER_AUTHENTICATIONS)
    annotations = _annotations(deployment["spec"]["template"])
    wanted = (injection.admin_port, injection.app_port)
    if ambient:  # its proxy is the node's, which knows no annotations of pods
        ports = ", ".join(f"{port}: {{mode: PERMISSIVE}}" for port in wanted)
        advice = f"write a PeerAuthentication that selects its pods, with portLevelMtls: {{{ports}}}"
    else:
        advice = f"write in spec.template.metadata.annotations: {_exclusions(_ISTIO_IN, _ISTIO_OUT, wanted)}"
    if not ambient and _excludes(annotations.get(_ISTIO_IN), wanted):
        yield ok("mesh", where, "it is in an Istio mesh, and the ports of peers and the controller are taken out")
    elif found.problem:
        yield skipped(
            "mesh", where, f"it is in an Istio mesh, whose PeerAuthentications cannot be read: {found.problem}", advice
        )
    elif "STRICT" in (_mode(found.items, deployment, port) for port in wanted):
        message = "Istio's mTLS is STRICT, so its proxy refuses the controller and the requests of peers"
        yield failed("mesh", where, message, advice)
    elif _mode(found.items, deployment, _NO_PORT) == "STRICT":
        yield ok("mesh", where, "Istio's mTLS is STRICT, but for the ports of peers and the controller")
    else:
        message = "it is in an Istio mesh whose mTLS is permissive: requests between its pods are in plain text"
        yield warning("mesh", where, message, f"before you turn it STRICT, {advice}")


def _exclusions(inbound: str, outbound: str, ports: tuple[int, ...]) -> str:
    told = ",".join(map(str, ports))
    return f'{inbound}: "{told}" and {outbound}: "{told}"'


def _excludes(text: str | None, wanted: tuple[int, ...]) -> bool:
    ranges = [_range(word.strip()) for word in (text or "").split(",")]
    return all(any(port in one for one in ranges) for port in wanted)


def _range(word: str) -> range:
    """``8080``, or (Linkerd's) ``8080-8090``."""
    first, _, last = word.partition("-")
    if not first.isdecimal() or (last and not last.isdecimal()):
        return range(0)
    return range(int(first), int(last or first) + 1)


def _mode(found: tuple[Object, ...], deployment: Object, port: int) -> str:
    """The port's, else the workload's, the namespace's, the mesh's (Istio: the narrowest wins, UNSET inherits)."""
    labels, best = pod_labels(deployment), (0, "PERMISSIVE")
    for one in found:
        spec = one.get("spec") or {}
        mode = str((spec.get("mtls") or {}).get("mode") or "UNSET")
        selector, here = spec.get("selector"), namespace_of(one)
        if selector:  # ports count only where workloads are selected
            mode = str(((spec.get("portLevelMtls") or {}).get(str(port)) or {}).get("mode") or mode)
        if here == namespace_of(deployment):
            rank = 2 if not selector else 3 if matches(selector, labels) else 0
        else:
            rank = 1 if here == ISTIO_ROOT and not selector else 0
        if rank and mode != "UNSET" and rank > best[0]:
            best = (rank, mode)
    return best[1]


def _linkerd(deployment: Object, space: Object, injection: Injection) -> Iterator[Finding]:
    where, annotations = about(deployment), _annotations(deployment["spec"]["template"])
    policy = annotations.get(_LINKERD_POLICY, _annotations(space).get(_LINKERD_POLICY, ""))
    wanted = (injection.admin_port, injection.app_port)
    skips = annotations.get(_LINKERD_IN, _annotations(space).get(_LINKERD_IN))
    if _excludes(skips, wanted):
        yield ok("mesh", where, "it is in a Linkerd mesh, and the ports of peers and the controller are taken out")
    elif policy in _STRICT_POLICIES:
        message = f"Linkerd's policy is {policy}, so its proxy refuses the controller"
        advice = f"write in spec.template.metadata.annotations: {_exclusions(_LINKERD_IN, _LINKERD_OUT, wanted)}"
        yield failed("mesh", where, message, advice)
    else:
        yield ok("mesh", where, "it is in a Linkerd mesh that lets unauthenticated clients in")
