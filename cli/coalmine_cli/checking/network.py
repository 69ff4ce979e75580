"""NetworkPolicies in the way: of the controller, of the pods among themselves, of the requests.

Pure. What must get through: the controller to each sidecar's admin port; each pod to each other pod's application
port, and to its admin port, where a new connection has the pod's identity confirmed; clients to the sidecar's port,
which has another number than the application's.
"""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.kube.resources import NETWORK_POLICIES, Object, labels_of, name_of
from coalmine.model.names import SIDECAR_LABEL, SYSTEM_NAMESPACE
from coalmine.model.wire import Injection
from coalmine_cli.checking import policies
from coalmine_cli.checking.findings import Finding, about, failed, ok, skipped
from coalmine_cli.checking.policies import EGRESS, INGRESS, Peer
from coalmine_cli.checking.sidecars import containers_of, ports_of
from coalmine_cli.checking.sight import Sight, pod_labels


def check(sight: Sight, deployment: Object) -> Iterator[Finding]:
    """Which of these connections a policy forbids."""
    where, listing, pods = about(deployment), sight.of(NETWORK_POLICIES), sight.pods_of(deployment)
    injection = ports_of(deployment, pods)
    if injection is None:
        return
    if listing.problem:
        yield skipped("network policy", where, f"NetworkPolicies cannot be read: {listing.problem}")
        return
    app = _application(sight, deployment, injection, pods)
    controller = _controller_peer(sight)
    inbound = policies.selecting(listing, app, INGRESS)
    outbound = policies.selecting(listing, app, EGRESS)
    found = [*_from_controller(listing.items, controller, app, injection, where)]
    if not found and not inbound and not outbound:
        yield ok("network policy", where, "no NetworkPolicy selects its pods")
        return
    found += _among(listing.items, app, injection, where)
    found += _clients(inbound, app, injection, where)
    yield from found
    if not found:
        names = ", ".join(sorted({name_of(p) for p in (*inbound, *outbound)}))
        yield ok("network policy", where, f"NetworkPolicies ({names}) leave the sidecars' ports open")


def _application(sight: Sight, deployment: Object, injection: Injection, pods: list[Object]) -> Peer:
    namespace = deployment["metadata"]["namespace"]
    spec = deployment["spec"]["template"]["spec"]
    ports = {
        str(port["name"]): int(port["containerPort"])
        for container in containers_of(spec)
        for port in container.get("ports") or ()
        if port.get("name")
    }
    ports[injection.port_name] = injection.proxy_port  # the sidecar took the name
    space = sight.namespace(namespace) or {"metadata": {}}
    address = next((str((p.get("status") or {}).get("podIP") or "") for p in pods), "")
    return Peer(namespace, labels_of(space), pod_labels(deployment), ports, address)


def _controller_peer(sight: Sight) -> Peer:
    """The controller; its labels are not known where it runs outside of the cluster."""
    template = (((sight.controller.object or {}).get("spec") or {}).get("template")) or None
    labels = labels_of({"metadata": template.get("metadata") or {}}) if template else None
    default = {"kubernetes.io/metadata.name": SYSTEM_NAMESPACE}  # every namespace has this label
    space = labels_of(sight.system.object) if sight.system.object else default
    return Peer(SYSTEM_NAMESPACE, space, labels, {})


def _from_controller(
    every: tuple[Object, ...], controller: Peer, app: Peer, injection: Injection, where: str
) -> Iterator[Finding]:
    port = injection.admin_port
    if not policies.admits(every, controller, app, port):
        chosen = ", ".join(name_of(p) for p in policies.selecting(every, app, INGRESS))
        message = f"the NetworkPolicy {chosen} keeps the controller from the sidecars' admin port"
        advice = (
            "add an ingress rule: from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: "
            f"{SYSTEM_NAMESPACE}}}}}}}], ports: [{{port: {port}}}]"
        )
        yield failed("network policy", where, message, advice)
    if not policies.lets_out(every, controller, app, port):
        chosen = ", ".join(name_of(p) for p in policies.selecting(every, controller, EGRESS))
        message = f"the NetworkPolicy {chosen} in {SYSTEM_NAMESPACE} keeps the controller from the sidecars' admin port"
        advice = f"add an egress rule there: to: [{{namespaceSelector: {{}}}}], ports: [{{port: {port}}}]"
        yield failed("network policy", where, message, advice)


def _among(every: tuple[Object, ...], app: Peer, injection: Injection, where: str) -> Iterator[Finding]:
    wanted = (injection.app_port, injection.admin_port)
    told = f"ports: [{{port: {injection.app_port}}}, {{port: {injection.admin_port}}}]"
    if not all(policies.admits(every, app, app, port) for port in wanted):
        chosen = ", ".join(name_of(p) for p in policies.selecting(every, app, INGRESS))
        message = f"the NetworkPolicy {chosen} keeps its pods from each other, and sidecars send requests to peers"
        advice = f"add an ingress rule: from: [{{podSelector: {_selector(app)}}}], {told}"
        yield failed("network policy", where, message, advice)
    if not all(policies.lets_out(every, app, app, port) for port in wanted):
        chosen = ", ".join(name_of(p) for p in policies.selecting(every, app, EGRESS))
        message = f"the NetworkPolicy {chosen} keeps its pods from sending to each other, as their sidecars do"
        advice = f"add an egress rule: to: [{{podSelector: {_selector(app)}}}], {told}"
        yield failed("network policy", where, message, advice)


def _clients(inbound: list[Object], app: Peer, injection: Injection, where: str) -> Iterator[Finding]:
    """Rules that open the application's number to somebody, and the sidecar's to nobody of the kind."""
    for policy in inbound:
        for index, rule in enumerate((policy.get("spec") or {}).get("ingress") or ()):
            if not policies.has_port(rule, injection.app_port, app):
                continue
            same = [
                r for r in policies.rules(inbound, "ingress") if not r.get("from") or r.get("from") == rule.get("from")
            ]
            among_us = bool(rule.get("from")) and all(
                p.get("namespaceSelector") is None and p.get("podSelector") == _labels(app) for p in rule["from"]
            )
            if among_us or any(policies.has_port(r, injection.proxy_port, app) for r in same):
                continue
            message = (
                f"the NetworkPolicy {name_of(policy)} opens port {injection.app_port} by its number "
                f"(spec.ingress[{index}]), and requests now come to the sidecar's port {injection.proxy_port}"
            )
            yield failed("network policy", where, message, f"write port: {injection.port_name}, which is the sidecar's")


def _labels(app: Peer) -> dict[str, dict[str, str]]:
    return {"matchLabels": {k: v for k, v in (app.labels or {}).items() if k != SIDECAR_LABEL}}


def _selector(app: Peer) -> str:
    inner = ", ".join(f"{key}: {value}" for key, value in _labels(app)["matchLabels"].items())
    return f"{{matchLabels: {{{inner}}}}}"
