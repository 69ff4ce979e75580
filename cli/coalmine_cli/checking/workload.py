"""A component's own Deployment.

Pure. A component may run outside of the cluster (the sandbox's do): then there is none, and that is no fault.
"""

from __future__ import annotations

from coalmine.model.names import SYSTEM_NAMESPACE
from coalmine_cli.checking.findings import CLUSTER, Finding, failed, ok, skipped, warning
from coalmine_cli.checking.sight import One


def available(check: str, deployment: One, name: str, *, outside: bool) -> Finding:
    """Whether the component's pods are there; `outside`: it is known to work without a Deployment."""
    if deployment.problem:
        return skipped(check, CLUSTER, f"the Deployment {name} cannot be read: {deployment.problem}")
    found = deployment.object
    if found is None:
        message = f"there is no Deployment {name} in {SYSTEM_NAMESPACE}"
        if outside:
            return skipped(check, CLUSTER, f"{message}: it runs outside of the cluster")
        return failed(check, CLUSTER, message, "install it: kubectl apply -k manifests/base")
    wanted = int(found["spec"].get("replicas", 1))
    status = found.get("status") or {}
    there = int(status.get("availableReplicas") or 0)
    advice = f"see kubectl -n {SYSTEM_NAMESPACE} describe deployment/{name}"
    if wanted == 0:
        scale = f"kubectl -n {SYSTEM_NAMESPACE} scale deployment/{name} --replicas=2"
        return failed(check, CLUSTER, f"the Deployment {name} is scaled to 0", scale)
    if there == 0:
        return failed(check, CLUSTER, f"no pod of the Deployment {name} is available", advice)
    if there < wanted:
        return warning(check, CLUSTER, f"{there} of {wanted} pods of the Deployment {name} are available", advice)
    return ok(check, CLUSTER, f"all {wanted} pods of the Deployment {name} are available")


def image_of(deployment: One) -> str:
    """The image of the component's first container; "" where that is not known."""
    spec = ((deployment.object or {}).get("spec") or {}).get("template", {}).get("spec") or {}
    return next((str(c.get("image") or "") for c in spec.get("containers") or ()), "")
