"""Services: ports, addresses and what may change of them. Pure; addresses are given out by `allocation`."""

from __future__ import annotations

from typing import Any, Final

from coalmine.kube.resources import Object
from coalmine_sandbox.api.errors import Cause
from coalmine_sandbox.api.strategy import metadata, names
from coalmine_sandbox.api.strategy.faults import duplicate, forbidden, invalid, not_supported, required
from coalmine_sandbox.api.strategy.pod_spec import in_port_range
from coalmine_sandbox.api.strategy.rules import Strategy, put

_TYPES: Final = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")


class Services(Strategy):
    shows_deleted = True
    creates_on_update = True
    name_faults = staticmethod(names.dns_1035_label)

    def prepare_create(self, obj: Object) -> None:
        obj["status"] = {"loadBalancer": {}}

    def prepare_update(self, new: Object, old: Object) -> None:
        put(new, "status", old.get("status"))
        spec, before = new.get("spec") or {}, old["spec"]
        kept = dict(spec)
        # what was given out stays, for who sends a Service without it
        if spec.get("type") != "ExternalName" and before.get("type") != "ExternalName":
            for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                if field in before and not spec.get(field):
                    kept[field] = before[field]
        if spec.get("type") in ("NodePort", "LoadBalancer") == before.get("type") in ("NodePort", "LoadBalancer"):
            kept["ports"] = _keep_node_ports(spec.get("ports") or [], before.get("ports") or [])
        if kept.get("clusterIP") and kept.get("clusterIPs") in (None, before.get("clusterIPs")):
            kept["clusterIPs"] = [kept["clusterIP"]]
        new["spec"] = kept

    def validate(self, obj: Object) -> list[Cause]:
        spec = obj.get("spec") or {}
        kind = spec.get("type", "ClusterIP")
        faults: list[Cause] = []
        ports = spec.get("ports") or []
        if not ports and kind != "ExternalName" and spec.get("clusterIP") != "None":
            faults.append(required("spec.ports"))
        if kind not in _TYPES:
            faults.append(not_supported("spec.type", kind, _TYPES))
        if kind == "ExternalName" and not spec.get("externalName"):
            faults.append(required("spec.externalName"))
        if (affinity := spec.get("sessionAffinity")) not in (None, "ClientIP", "None"):
            faults.append(not_supported("spec.sessionAffinity", affinity, ("ClientIP", "None")))
        faults += metadata.label_faults(spec.get("selector"), "spec.selector")
        known: set[str] = set()
        seen: set[tuple[Any, Any]] = set()
        for number, port in enumerate(ports):
            _port(port, f"spec.ports[{number}]", faults, known, several=len(ports) > 1)
            both = port.get("protocol", "TCP"), port.get("port")
            if both in seen:
                shown = {"port": both[1], "protocol": both[0]}
                faults.append(duplicate(f"spec.ports[{number}]", shown))
            seen.add(both)
            if port.get("nodePort") and kind in ("ClusterIP", "ExternalName"):
                detail = f"may not be used when `type` is '{kind}'"
                faults.append(forbidden(f"spec.ports[{number}].nodePort", detail))
        return faults

    def validate_update(self, new: Object, old: Object) -> list[Cause]:
        now, was = new["spec"], old["spec"]
        if "ExternalName" in (now.get("type"), was.get("type")) or not was.get("clusterIP"):
            return []
        faults = []
        if now.get("clusterIP") != was["clusterIP"]:
            detail = "may not change once set"
            faults.append(invalid("spec.clusterIPs[0]", [now.get("clusterIP")], detail))
        return faults


def _port(port: Object, path: str, faults: list[Cause], known: set[str], *, several: bool) -> None:
    name = port.get("name")
    if several and not name:
        faults.append(required(f"{path}.name"))
    elif name:
        faults += [invalid(f"{path}.name", name, fault) for fault in names.dns_label(name)]
        if name in known:
            faults.append(duplicate(f"{path}.name", name))
        known.add(name)
    faults += in_port_range(port.get("port", 0), f"{path}.port")
    if (protocol := port.get("protocol")) not in (None, "TCP", "UDP", "SCTP"):
        faults.append(not_supported(f"{path}.protocol", protocol, ("SCTP", "TCP", "UDP")))
    target = port.get("targetPort")
    if isinstance(target, str):
        faults += [invalid(f"{path}.targetPort", target, fault) for fault in names.port_name(target)]
    else:
        faults += in_port_range(target, f"{path}.targetPort")


def _keep_node_ports(ports: list[Object], before: list[Object]) -> list[Object]:
    given = {(p.get("protocol", "TCP"), p.get("port")): p.get("nodePort") for p in before}
    kept = []
    for port in ports:
        known = given.get((port.get("protocol", "TCP"), port.get("port")))
        kept.append({**port, "nodePort": known} if known and not port.get("nodePort") else port)
    return kept
