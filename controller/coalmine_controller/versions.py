"""Which ReplicaSets and pods are the canary's, which are stable's, which were left behind.

Pure. The canary is the hidden ReplicaSet with the held template, or, once the handover has
relabelled it, the oldest ordinary one with it (the native controller's own rule for "the new
ReplicaSet"). Hidden ones with another template are left over. Everything else is stable's.
"""

from __future__ import annotations

from dataclasses import dataclass

from coalmine.model.wire import Endpoint, version_of
from coalmine_controller.arms import Target
from coalmine_controller.observed import Observed, Pod, ReplicaSet


@dataclass(frozen=True, slots=True)
class Versions:
    """The ReplicaSets by role, and their pods (terminating ones apart)."""

    canary: ReplicaSet | None
    #: An older revision at 0 with the held template: to be hidden and used as the canary.
    older: ReplicaSet | None
    stable: tuple[ReplicaSet, ...]
    leftovers: tuple[ReplicaSet, ...]
    canary_pods: tuple[Pod, ...]
    stable_pods: tuple[Pod, ...]
    leftover_pods: tuple[Pod, ...]
    terminating: tuple[Pod, ...]

    @property
    def stable_set(self) -> ReplicaSet | None:
        """The ReplicaSet that carries stable: the largest owned one."""
        return max(self.stable, key=lambda r: (r.replicas, r.current, r.revision), default=None)

    @property
    def hashes(self) -> tuple[str, str]:
        """What stable and the canary are named in the arms: their pod-template-hashes; empty where there is none, or
        where somebody gave a ReplicaSet one that is no version (the label itself stays as it is)."""
        stable = self.stable_set
        return version_of(stable.hash) if stable else "", version_of(self.canary.hash) if self.canary else ""


def sort_out(observed: Observed) -> Versions:
    """Tell the ReplicaSets and pods of `observed` apart."""
    d = observed.deployment
    bringing_up = d.held or d.handover is not None
    by_age = sorted(observed.replica_sets, key=lambda r: (r.created, r.name))
    hidden = [r for r in by_age if r.hidden]
    ordinary = [r for r in by_age if not r.hidden]
    canary = older = None
    if bringing_up:
        canary = next((r for r in hidden if r.ours and r.fingerprint == d.fingerprint), None)
        same = next((r for r in ordinary if r.fingerprint == d.fingerprint), None)
        if canary is None and d.handover is not None:
            canary = same
        else:
            older = same
    stable = tuple(r for r in ordinary if r is not canary and r is not older and r.owned)
    leftovers = tuple(r for r in hidden if r is not canary)
    names = {
        "canary": {canary.name} if canary else set[str](),
        "stable": {r.name for r in stable} | ({older.name} if older else set[str]()),
        "leftover": {r.name for r in leftovers},
    }

    def pods(role: str) -> tuple[Pod, ...]:
        return tuple(p for p in observed.pods if p.replica_set in names[role] and not p.terminating)

    return Versions(
        canary,
        older,
        stable,
        leftovers,
        pods("canary"),
        pods("stable"),
        pods("leftover"),
        tuple(p for p in observed.pods if p.terminating),
    )


def targets(pods: tuple[Pod, ...]) -> tuple[Target, ...]:
    """The pods that can take requests: ready, with a sidecar. In the order of uid, so that one
    state of the world has one routing."""
    return tuple(
        Target(p.uid, Endpoint(p.address, p.injection.app_port, p.uid, p.injection.admin_port))
        for p in sorted(pods, key=lambda p: p.uid)
        if p.ready and not p.terminating and p.injection is not None and p.address
    )
