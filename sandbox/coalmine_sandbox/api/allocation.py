"""Addresses and node ports for Services.

What is taken is read from the Services themselves, so that nothing can leak, be it by a crash. The first address of
the range is that of the Service ``kubernetes``; the others are given out from a place of chance, as in the real one,
so that a deleted Service's address is not the next one's.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterator
from typing import Any, Final

from coalmine.kube.resources import SERVICES, Object
from coalmine_sandbox.api import errors
from coalmine_sandbox.api.kinds import Kind
from coalmine_sandbox.api.store import Store
from coalmine_sandbox.api.strategy.faults import invalid

#: kube-apiserver's --service-node-port-range.
_NODE_PORTS: Final = range(30000, 32768)


class Allocation:
    """Gives Services what they ask for."""

    def __init__(self, store: Store, addresses: str, chance: random.Random) -> None:
        """`addresses` is a range such as 10.96.0.0/16."""
        self._store = store
        self._network = ipaddress.IPv4Network(addresses)
        self._chance = chance

    @property
    def first(self) -> str:
        """Of the Service ``kubernetes``."""
        return str(self._network[1])

    def give(self, kind: Kind, obj: Object, old: Object | None = None) -> None:
        """Fill in a Service's addresses and node ports. Raises StatusError when they are taken, or none is left."""
        if kind.resource != SERVICES:
            return
        spec = dict(obj.get("spec") or {})
        if old is not None and spec == old.get("spec"):
            return
        if spec.get("type") == "ExternalName":
            for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                spec.pop(field, None)
            obj["spec"] = spec
            return
        others = [each for each in self._store.objects(SERVICES) if each["metadata"]["uid"] != obj["metadata"]["uid"]]
        self._address(obj, spec, others)
        if spec.get("type") in ("NodePort", "LoadBalancer"):
            self._ports(obj, spec, others)
        elif old is not None and (old.get("spec") or {}).get("type") in ("NodePort", "LoadBalancer"):
            spec["ports"] = [{k: v for k, v in port.items() if k != "nodePort"} for port in spec.get("ports") or ()]
        obj["spec"] = spec

    def _address(self, obj: Object, spec: Object, others: list[Object]) -> None:
        taken = {(each.get("spec") or {}).get("clusterIP") for each in others}
        asked = spec.get("clusterIP") or next(iter(spec.get("clusterIPs") or ()), "")
        if not asked:
            asked = self._free(taken)
        elif asked != "None":
            why = ""
            try:
                if ipaddress.ip_address(asked) not in self._network:
                    why = f"the provided IP ({asked}) is not in the valid range. "
                    why += f"The range of valid IPs is {self._network}"
            except ValueError:
                why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            if asked in taken:
                why = "provided IP is already allocated"
            if why:
                fault = invalid("spec.clusterIPs", [asked], f"failed to allocate IP {asked}: {why}")
                raise errors.invalid("Service", obj["metadata"]["name"], [fault])
        spec["clusterIP"] = asked
        spec["clusterIPs"] = [asked]
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")

    def _free(self, taken: set[Any]) -> str:
        # neither the network's own address, nor the first, nor the broadcast's
        count = self._network.num_addresses - 3
        start = self._chance.randrange(count) if count > 0 else 0
        for step in range(max(count, 0)):
            address = str(self._network[2 + (start + step) % count])
            if address not in taken:
                return address
        raise errors.internal("failed to allocate a serviceIP: range is full")

    def _ports(self, obj: Object, spec: Object, others: list[Object]) -> None:
        taken = {port.get("nodePort") for each in others for port in (each.get("spec") or {}).get("ports") or ()}
        ports = []
        for number, port in enumerate(spec.get("ports") or ()):
            asked = port.get("nodePort")
            if asked and asked in taken:
                fault = invalid(f"spec.ports[{number}].nodePort", asked, "provided port is already allocated")
                raise errors.invalid("Service", obj["metadata"]["name"], [fault])
            if asked and asked not in _NODE_PORTS:
                detail = (
                    "provided port is not in the valid range. "
                    f"The range of valid ports is {_NODE_PORTS[0]}-{_NODE_PORTS[-1]}"
                )
                fault = invalid(f"spec.ports[{number}].nodePort", asked, detail)
                raise errors.invalid("Service", obj["metadata"]["name"], [fault])
            given = asked or next(self._free_ports(taken), None)
            if given is None:
                raise errors.internal("failed to allocate a nodePort: range is full")
            taken.add(given)
            ports.append({**port, "nodePort": given})
        spec["ports"] = ports

    def _free_ports(self, taken: set[Any]) -> Iterator[int]:
        start = self._chance.randrange(len(_NODE_PORTS))
        for step in range(len(_NODE_PORTS)):
            port = _NODE_PORTS[(start + step) % len(_NODE_PORTS)]
            if port not in taken:
                yield port
