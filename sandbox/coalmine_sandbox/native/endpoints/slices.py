"""The EndpointSlices that a Service is to have. Pure.

Pods that resolve the Service's ports to the same numbers share slices; those that do not (a sidecar
took the port in some of them) have slices of their own. IPv4 alone, no zones and no hints.
Source: k8s.io/endpointslice, reconciler.go and utils.go.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Final

from coalmine.kube.resources import ENDPOINT_SLICES, Object, labels_of, name_of, namespace_of, uid_of
from coalmine_sandbox.native.owners import controller_reference, is_deleting
from coalmine_sandbox.native.pods import is_native_sidecar, is_ready, is_terminal

SERVICE_NAME: Final = "kubernetes.io/service-name"
MANAGED_BY: Final = "endpointslice.kubernetes.io/managed-by"
CONTROLLER: Final = "endpointslice-controller.k8s.io"
HEADLESS: Final = "service.kubernetes.io/headless"
_RESERVED: Final = frozenset({SERVICE_NAME, MANAGED_BY, HEADLESS})
#: --max-endpoints-per-slice.
_MOST: Final = 100
_LONGEST_PREFIX: Final = 253


@dataclass
class Changes:
    """What is to be written."""

    create: list[Object] = field(default_factory=list)
    update: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)


def find_port(pod: Object, port: Object) -> int | None:
    """The number that a Service's port has in a pod; None when no container has the name."""
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target
    protocol = port.get("protocol", "TCP")
    containers = [*pod["spec"]["containers"]]
    containers += [c for c in pod["spec"].get("initContainers") or () if is_native_sidecar(c)]
    for container in containers:
        for each in container.get("ports") or ():
            if each.get("name") == target and each.get("protocol", "TCP") == protocol:
                return int(each["containerPort"])
    return None


def ports_of(service: Object, pod: Object) -> list[Object]:
    """The Service's ports as numbers of this pod; those that it does not have are left out."""
    found = []
    for port in service["spec"].get("ports") or ():
        number = find_port(pod, port)
        if number is not None:
            each: Object = {"name": port.get("name", ""), "protocol": port.get("protocol", "TCP"), "port": number}
            if "appProtocol" in port:
                each["appProtocol"] = port["appProtocol"]
            found.append(each)
    return found


def endpoint(service: Object, pod: Object) -> Object:
    """A pod as an endpoint: one that ends is not ready, but may still be serving."""
    serving, terminating = is_ready(pod), is_deleting(pod)
    ready = bool(service["spec"].get("publishNotReadyAddresses")) or (serving and not terminating)
    found: Object = {
        "addresses": _addresses(pod),
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": {"kind": "Pod", "namespace": namespace_of(pod), "name": name_of(pod), "uid": uid_of(pod)},
    }
    if node := pod["spec"].get("nodeName"):
        found["nodeName"] = node
    if pod["spec"].get("hostname") and pod["spec"].get("subdomain") == name_of(service):
        found["hostname"] = pod["spec"]["hostname"]
    return found


def _addresses(pod: Object) -> list[str]:
    """The pod's IPv4 addresses."""
    found = []
    for each in (pod.get("status") or {}).get("podIPs") or ():
        try:
            found.append(str(IPv4Address(each["ip"])))
        except ValueError:
            continue
    return found


def reconcile(service: Object, pods: Iterable[Object], existing: Sequence[Object]) -> Changes:
    """The difference between the slices that are and those that are to be. `pods` are those that the Service
    selects, whose nodes exist; `existing` its slices that are not being deleted."""
    changes = Changes()
    current: dict[str, list[Object]] = {}
    for each in existing:
        if any(owner["uid"] == uid_of(service) for owner in each["metadata"].get("ownerReferences") or ()):
            current.setdefault(_key(each.get("ports") or ()), []).append(each)
        else:  # of a Service that had this name before
            changes.delete.append(each)
    groups: dict[str, tuple[list[Object], dict[str, Object]]] = {}
    for pod in sorted(pods, key=lambda p: (p["metadata"].get("creationTimestamp") or "", name_of(p))):
        if is_terminal(pod) or not _addresses(pod):
            continue
        ports = ports_of(service, pod)
        groups.setdefault(_key(ports), (ports, {}))[1][uid_of(pod)] = endpoint(service, pod)
    for key, (ports, wanted) in groups.items():
        _reconcile_group(service, ports, wanted, current.pop(key, []), changes)
    changes.delete += [each for slices in current.values() for each in slices]
    _keep_one(service, existing, changes)
    _reuse(service, changes)
    return changes


def _key(ports: Iterable[Object]) -> str:
    return json.dumps(sorted(json.dumps(port, sort_keys=True) for port in ports))


def _reconcile_group(
    service: Object, ports: list[Object], wanted: dict[str, Object], slices: list[Object], changes: Changes
) -> None:
    """Slices of one set of ports: endpoints stay where they are, the rest fills what is changed anyway."""
    updated, unchanged = [], []
    for each in slices:
        before = each.get("endpoints") or []
        kept = [wanted.pop(uid) for uid in map(_target, before) if uid in wanted]
        same = kept == before
        if not kept and before:
            changes.delete.append(each)
        elif same and labels_of(each) == slice_labels(service):
            unchanged.append(each)
        else:
            updated.append(_changed(service, each, kept))
    rest = list(wanted.values())
    for each in sorted(updated, key=lambda s: -len(s["endpoints"])):
        _fill(each, rest)
    while rest:
        room = [each for each in unchanged if len(each.get("endpoints") or ()) + len(rest) <= _MOST]
        if room and len(rest) < _MOST:
            fullest = max(room, key=lambda s: len(s.get("endpoints") or ()))
            unchanged.remove(fullest)
            one = _changed(service, fullest, fullest.get("endpoints") or [])
            updated.append(one)
        else:
            one = new_slice(service, ports)
            changes.create.append(one)
        _fill(one, rest)
    changes.update += updated


def _fill(one: Object, rest: list[Object]) -> None:
    room = _MOST - len(one["endpoints"])
    one["endpoints"] = [*one["endpoints"], *rest[:room]]
    del rest[:room]


def _target(each: Object) -> str:
    return str((each.get("targetRef") or {}).get("uid", ""))


def _changed(service: Object, each: Object, endpoints: list[Object]) -> Object:
    changed = {**each, "metadata": copy.deepcopy(each["metadata"]), "endpoints": list(endpoints)}
    changed["metadata"]["labels"] = slice_labels(service)
    return changed


def _keep_one(service: Object, existing: Sequence[Object], changes: Changes) -> None:
    """A Service without endpoints has one empty slice, that who watches can tell it from one not looked at yet."""
    if len(changes.delete) < len(existing) or changes.create:
        return
    empty = new_slice(service, [])
    if len(changes.delete) == 1 and _is_placeholder(changes.delete[0], empty):
        changes.delete.clear()
    else:
        changes.create.append(empty)


def _is_placeholder(each: Object, empty: Object) -> bool:
    return (
        not each.get("endpoints")
        and not each.get("ports")
        and labels_of(each) == labels_of(empty)
        and each["metadata"].get("ownerReferences") == empty["metadata"]["ownerReferences"]
    )


def _reuse(service: Object, changes: Changes) -> None:
    """A slice that would go takes what a new one would hold."""
    for each in list(changes.delete):
        owners = each["metadata"].get("ownerReferences") or ()
        if changes.create and any(owner["uid"] == uid_of(service) for owner in owners):
            made = changes.create.pop()
            changes.delete.remove(each)
            changes.update.append({**_changed(service, each, made["endpoints"]), "ports": made["ports"]})


def slice_labels(service: Object) -> dict[str, str]:
    """The Service's own labels, and those by which a slice is found."""
    labels = {key: value for key, value in labels_of(service).items() if key not in _RESERVED}
    if service["spec"].get("clusterIP") in (None, "", "None"):
        labels[HEADLESS] = ""
    return {**labels, SERVICE_NAME: name_of(service), MANAGED_BY: CONTROLLER}


def new_slice(service: Object, ports: list[Object]) -> Object:
    """A slice without endpoints."""
    name = name_of(service)
    return {
        "apiVersion": ENDPOINT_SLICES.api_version,
        "kind": ENDPOINT_SLICES.kind,
        "metadata": {
            "generateName": f"{name}-" if len(name) < _LONGEST_PREFIX else name,
            "namespace": namespace_of(service),
            "labels": slice_labels(service),
            "ownerReferences": [controller_reference(service)],
        },
        "addressType": "IPv4",
        "endpoints": [],
        "ports": ports,
    }
