"""Which rules each kind has."""

from __future__ import annotations

from typing import Final

from coalmine.kube import resources as r
from coalmine_sandbox.api import kinds as k
from coalmine_sandbox.api.strategy import plain, workloads
from coalmine_sandbox.api.strategy.pods import Pods
from coalmine_sandbox.api.strategy.rules import Strategy
from coalmine_sandbox.api.strategy.services import Services

_STRATEGIES: Final[dict[r.Resource, Strategy]] = {
    r.PODS: Pods(),
    r.SERVICES: Services(),
    r.DEPLOYMENTS: workloads.Deployments(),
    r.REPLICA_SETS: workloads.ReplicaSets(),
    k.JOBS: workloads.Jobs(),
    k.BUDGETS: workloads.DisruptionBudgets(),
    r.NAMESPACES: plain.Namespaces(),
    r.NODES: plain.Nodes(),
    r.SERVICE_ACCOUNTS: plain.ServiceAccounts(),
    k.RESOURCE_QUOTAS: plain.Quotas(),
    k.CLAIMS: plain.Claims(),
    r.CONFIG_MAPS: plain.ConfigMaps(),
    r.SECRETS: plain.Secrets(),
    r.EVENTS: plain.Events(),
    r.LEASES: plain.Leases(),
    r.ENDPOINT_SLICES: plain.EndpointSlices(),
    r.MUTATING_WEBHOOKS: plain.Webhooks(),
    r.CRDS: plain.Definitions(),
    k.ROLES: plain.Roles(),
    k.CLUSTER_ROLES: plain.Roles(),
    k.ROLE_BINDINGS: plain.Bindings(),
    k.CLUSTER_ROLE_BINDINGS: plain.Bindings(),
}
_CUSTOM: Final = {status: plain.CustomObjects(status=status) for status in (False, True)}


def strategy_of(kind: k.Kind) -> Strategy:
    """The rules of a kind that is stored."""
    if kind.custom is not None:
        return _CUSTOM["status" in kind.custom.subresources]
    return _STRATEGIES[kind.storage]
