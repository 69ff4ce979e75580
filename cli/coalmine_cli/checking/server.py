"""The API server: its version, and whether it serves what Coalmine needs and brings.

Pure. Sources: matchConditions are generally available from Kubernetes 1.30, native sidecars, through which a Service's
named port is reached, from 1.33.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from coalmine.kube.resources import Object, name_of
from coalmine.model.names import GROUP, PLURALS
from coalmine_cli.checking.findings import CLUSTER, Finding, failed, ok, skipped, warning
from coalmine_cli.checking.sight import Sight

#: The oldest that can run it: before, matchConditions are off, and failurePolicy Fail would be everybody's.
OLDEST: Final = (1, 30)
NATIVE: Final = (1, 33)
_NUMBER: Final = re.compile(r"[0-9]+")
#: API groups and versions without which nothing works.
_NEEDED: Final = ("admissionregistration.k8s.io/v1", "apps/v1", "coordination.k8s.io/v1", "discovery.k8s.io/v1")


def version_of(sight: Sight) -> tuple[int, int] | None:
    """Major and minor; providers write ``33+``. None when it cannot be told."""
    major, minor = (_NUMBER.match(str(sight.version.get(key) or "")) for key in ("major", "minor"))
    return (int(major[0]), int(minor[0])) if major and minor else None


def is_installed(sight: Sight) -> bool:
    """Whether our kinds are there."""
    return any(name_of(crd).endswith(f".{GROUP}") for crd in sight.crds)


def check(sight: Sight, *, before: bool) -> Iterator[Finding]:
    """Version, groups, and (after an installation) our kinds."""
    version, said = version_of(sight), str(sight.version.get("gitVersion") or "an unknown version")
    if version is None:
        yield skipped("server version", CLUSTER, f"the API server is of {said}, which cannot be read")
    elif version < OLDEST:
        message = f"Kubernetes {said} has no matchConditions for webhooks"
        yield failed("server version", CLUSTER, message, "upgrade to Kubernetes 1.30 or later, 1.33 at best")
    elif version < NATIVE:
        message = f"Kubernetes {said}: sidecars run as classic containers"
        advice = "leave the webhook at `--sidecar auto` or write `--sidecar classic`; native ones need 1.33"
        yield warning("server version", CLUSTER, message, advice)
    else:
        yield ok("server version", CLUSTER, f"Kubernetes {said}: native sidecars")
    lacking = [group for group in _NEEDED if group not in sight.groups]
    if lacking:
        message = f"the API server does not serve {', '.join(lacking)}"
        yield failed("features", CLUSTER, message, "switch it on (--runtime-config of the API server)")
    else:
        yield ok("features", CLUSTER, "the API server serves what Coalmine needs")
    if not before:
        yield from _kinds(sight)


def _kinds(sight: Sight) -> Iterator[Finding]:
    if sight.crds.problem:
        yield skipped("kinds", CLUSTER, f"the CustomResourceDefinitions cannot be read: {sight.crds.problem}")
        return
    found = {name_of(crd): crd for crd in sight.crds}
    for plural in PLURALS.values():
        name = f"{plural}.{GROUP}"
        crd = found.get(name)
        if crd is None:
            yield failed("kinds", CLUSTER, f"{name} is not there", "apply it: kubectl apply -k manifests/crds")
        elif crd["metadata"].get("deletionTimestamp"):
            advice = f"wait until it is gone and apply it again; what holds it: kubectl get {name} -A"
            yield failed("kinds", CLUSTER, f"{name} is being deleted", advice)
        elif not _established(crd):
            yield failed("kinds", CLUSTER, f"{name} is not established", f"see kubectl describe crd {name}")
        else:
            yield ok("kinds", CLUSTER, f"{name} is established")


def _established(crd: Object) -> bool:
    conditions = (crd.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions)
