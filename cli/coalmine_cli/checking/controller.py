"""The controller: somebody leads, and its keys are where they belong.

Pure. The Lease's times are its holder's clock, and ours may differ: only a long silence is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from coalmine.kube.resources import CONFIG_MAPS, DEPLOYMENTS, Object, name_of, namespace_of
from coalmine.model.durations import parse_time
from coalmine.model.names import KEYS_CONFIGMAP, LEASE, SIGNING_SECRET, SYSTEM_NAMESPACE
from coalmine_cli.checking.findings import CLUSTER, Finding, failed, ok, skipped, warning
from coalmine_cli.checking.sight import Sight, is_annotated
from coalmine_cli.checking.workload import available

NAME: Final = "coalmine-controller"
#: Clocks of two machines: what is within this is not called late.
_SKEW: Final = 60.0
_LOGS: Final = f"see kubectl -n {SYSTEM_NAMESPACE} logs deploy/{NAME}"


def check(sight: Sight) -> Iterator[Finding]:
    """Deployment, Lease, signing key, and its public half in each namespace with annotated Deployments."""
    yield available("controller deployment", sight.controller, NAME, outside=leads(sight))
    yield _lease(sight)
    yield from _signing_key(sight)
    yield from _public_keys(sight)


def leads(sight: Sight) -> bool:
    """Whether a controller holds the Lease and has renewed it lately."""
    return bool(leader(sight.lease.object, sight.now))


def leader(lease: Object | None, now: float) -> str:
    """Who holds the Lease and has renewed it lately; "" when nobody does."""
    holder = str(((lease or {}).get("spec") or {}).get("holderIdentity") or "")
    return holder if _late(lease, now) is None else ""


def _late(lease: Object | None, now: float) -> float | None:
    """For how many seconds the Lease has not been renewed, when that is too long."""
    spec = (lease or {}).get("spec") or {}
    text = spec.get("renewTime")
    if not text:
        return None
    silent = now - parse_time(str(text))
    return silent if silent > float(spec.get("leaseDurationSeconds") or 15) + _SKEW else None


def _lease(sight: Sight) -> Finding:
    name = "controller leads"
    if sight.lease.problem:
        return skipped(name, CLUSTER, f"the Lease {LEASE} cannot be read: {sight.lease.problem}")
    lease = sight.lease.object
    if lease is None:
        return failed(name, CLUSTER, f"there is no Lease {LEASE}: no controller has ever led here", _LOGS)
    holder = str((lease.get("spec") or {}).get("holderIdentity") or "")
    if not holder:
        return failed(name, CLUSTER, "no controller holds the Lease: rollouts stand still", _LOGS)
    late = _late(lease, sight.now)
    if late is not None:
        message = f"{holder} has not renewed the Lease for {late:.0f} s: rollouts stand still"
        return failed(name, CLUSTER, message, _LOGS)
    return ok(name, CLUSTER, f"{holder} holds the Lease")


def _signing_key(sight: Sight) -> Iterator[Finding]:
    name = "signing key"
    if sight.signing_key.problem:
        yield skipped(name, CLUSTER, f"the Secret {SIGNING_SECRET} cannot be read: {sight.signing_key.problem}")
    elif sight.signing_key.object is None:
        message = f"there is no Secret {SIGNING_SECRET}: sidecars can be told nothing"
        yield failed(name, CLUSTER, message, "restart the controller, which makes one")
    else:
        yield ok(name, CLUSTER, f"the Secret {SIGNING_SECRET} is there")


def _public_keys(sight: Sight) -> Iterator[Finding]:
    maps, name = sight.of(CONFIG_MAPS), "public keys"
    if maps.problem:
        yield skipped(name, CLUSTER, f"the ConfigMaps {KEYS_CONFIGMAP} cannot be read: {maps.problem}")
        return
    for namespace in sorted({namespace_of(d) for d in sight.of(DEPLOYMENTS) if is_annotated(d)}):
        one = next((m for m in maps.of(namespace) if name_of(m) == KEYS_CONFIGMAP), None)
        if one is None:
            message = f"there is no ConfigMap {KEYS_CONFIGMAP}: the sidecars refuse what the controller says"
            yield failed(name, namespace, message, f"the controller makes it within seconds; {_LOGS}")
        elif not one.get("data"):
            advice = f"delete it, and the controller makes it anew: kubectl -n {namespace} delete cm {KEYS_CONFIGMAP}"
            yield warning(name, namespace, f"the ConfigMap {KEYS_CONFIGMAP} holds no key", advice)
        else:
            yield ok(name, namespace, f"the ConfigMap {KEYS_CONFIGMAP} holds {len(one['data'])} key(s)")
