"""NetworkPolicies, evaluated: whether they let one pod reach a port of another.

Pure. Rules of networking.k8s.io/v1: policies add up; a pod that no policy of a direction selects is open in that
direction; policyTypes that are absent are Ingress, and Egress where spec.egress stands. An empty peer list is
everybody, an empty port list every port. A named port is looked up in the pod that is reached.
What is unknown of a peer (labels of what runs outside of the cluster) may match.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from coalmine.kube.resources import Object
from coalmine_cli.checking.sight import matches

INGRESS: Final = "Ingress"
EGRESS: Final = "Egress"


@dataclass(frozen=True, slots=True)
class Peer:
    """One end of a connection. `labels` None: not known. `ports` are its named ports."""

    namespace: str
    namespace_labels: Mapping[str, str]
    labels: Mapping[str, str] | None
    ports: Mapping[str, int]
    address: str = ""


def selecting(policies: Iterable[Object], peer: Peer, direction: str) -> list[Object]:
    """The policies of the peer's own namespace that select it in one direction."""
    found = []
    for policy in policies:
        spec = policy.get("spec") or {}
        types = spec.get("policyTypes") or ([INGRESS, EGRESS] if spec.get("egress") else [INGRESS])
        here = policy["metadata"].get("namespace") == peer.namespace
        if (
            here
            and direction in types
            and peer.labels is not None
            and matches(spec.get("podSelector") or {}, peer.labels)
        ):
            found.append(policy)
    return found


def admits(policies: Iterable[Object], source: Peer, target: Peer, port: int) -> bool:
    """Whether the policies around `target` let `source` in, by TCP."""
    chosen = selecting(policies, target, INGRESS)
    return not chosen or any(
        _peers(rule.get("from"), source, target.namespace) and has_port(rule, port, target)
        for rule in rules(chosen, "ingress")
    )


def lets_out(policies: Iterable[Object], source: Peer, target: Peer, port: int) -> bool:
    """Whether the policies around `source` let it reach `target`, by TCP."""
    chosen = selecting(policies, source, EGRESS)
    return not chosen or any(
        _peers(rule.get("to"), target, source.namespace) and has_port(rule, port, target)
        for rule in rules(chosen, "egress")
    )


def rules(policies: Iterable[Object], key: str) -> Iterator[Mapping[str, Any]]:
    """The rules of one direction."""
    for policy in policies:
        yield from (policy.get("spec") or {}).get(key) or ()


def _peers(peers: Any, peer: Peer, own: str) -> bool:
    return not peers or any(_is(one, peer, own) for one in peers)


def _is(one: Mapping[str, Any], peer: Peer, own: str) -> bool:
    block = one.get("ipBlock")
    if block is not None:
        return _inside(block, peer.address)
    spaces, pods = one.get("namespaceSelector"), one.get("podSelector")
    if spaces is None and peer.namespace != own:
        return False
    if spaces is not None and not matches(spaces, peer.namespace_labels):
        return False
    return pods is None or peer.labels is None or matches(pods, peer.labels)


def _inside(block: Mapping[str, Any], address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address)
        if ip not in ipaddress.ip_network(str(block.get("cidr")), strict=False):
            return False
        return all(ip not in ipaddress.ip_network(str(e), strict=False) for e in block.get("except") or ())
    except (ValueError, TypeError):
        return False  # no address is known, or the block is of the other family


def has_port(rule: Mapping[str, Any], port: int, target: Peer) -> bool:
    """Whether a rule is about a TCP port of `target`."""
    return not rule.get("ports") or any(_port(one, port, target) for one in rule["ports"])


def _port(one: Mapping[str, Any], port: int, target: Peer) -> bool:
    if one.get("protocol", "TCP") != "TCP":
        return False
    named = one.get("port")
    if named is None:
        return True
    if isinstance(named, str) and not named.isdigit():
        return target.ports.get(named) == port
    return int(named) <= port <= int(one.get("endPort") or named)
