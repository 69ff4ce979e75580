"""Autoscalers on CPU or memory utilisation: what the sidecar's request does to them.

Pure. Utilisation is usage over request, summed over all containers of a pod; a container without a request makes the
metric unreadable (pkg/controller/podautoscaler/replica_calculator). ContainerResource looks at one container alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from coalmine.kube.resources import AUTOSCALERS, Object, name_of
from coalmine.model.names import SIDECAR_CONTAINER
from coalmine_cli.checking.findings import Finding, about, ok, skipped, warning
from coalmine_cli.checking.quantities import amount, of_pod, spelled
from coalmine_cli.checking.sidecars import ports_of, resources_of
from coalmine_cli.checking.sight import Sight

#: A sidecar that is more than this share of the pod's request moves the target noticeably: at a target of 80 %, by 16.
_NOTICEABLE: Final = 0.2


def check(sight: Sight, deployment: Object) -> Iterator[Finding]:
    """The HPAs that scale `deployment`."""
    where, listing = about(deployment), sight.of(AUTOSCALERS)
    if listing.problem:
        yield skipped("autoscaler", where, f"HorizontalPodAutoscalers cannot be read: {listing.problem}")
        return
    for hpa in listing.of(deployment["metadata"]["namespace"]):
        spec = hpa.get("spec") or {}
        target = spec.get("scaleTargetRef") or {}
        if (target.get("kind"), target.get("name")) == ("Deployment", name_of(deployment)):
            for metric in spec.get("metrics") or ():
                yield from _metric(sight, deployment, name_of(hpa), metric)


def _metric(sight: Sight, deployment: Object, hpa: str, metric: Mapping[str, Any]) -> Iterator[Finding]:
    resource = metric.get("resource") or {}
    name, target = resource.get("name"), (resource.get("target") or {}).get("averageUtilization")
    pods = sight.pods_of(deployment)
    injection = ports_of(deployment, pods)
    if metric.get("type") != "Resource" or target is None or injection is None:
        return
    where, spec = about(deployment), deployment["spec"]["template"]["spec"]
    sidecar = resources_of(injection, pods)
    own, with_sidecar = (of_pod(spec, "requests", str(name), s) for s in ({}, sidecar))
    added = amount((sidecar.get("requests") or {}).get(name, 0))
    advice = (
        "write a metric of type ContainerResource for the application's container, so that the sidecar does not count"
    )
    if not added:
        message = f"the HPA {hpa} cannot read {name} utilisation: the sidecar {SIDECAR_CONTAINER} requests none"
        yield warning("autoscaler", where, message, advice)
    elif not own:
        message = f"the HPA {hpa} wants {name} utilisation, and the application requests no {name}"
        yield warning("autoscaler", where, message, f"set resources.requests.{name}, or {advice}")
    elif added / with_sidecar > _NOTICEABLE:
        message = (
            f"the sidecar requests {spelled(added)} of {spelled(with_sidecar)} {name}, which the HPA {hpa} counts: its "
            f"target of {target} % is {spelled(with_sidecar * int(target) / 100)} for both together"
        )
        yield warning("autoscaler", where, message, advice)
    else:
        yield ok("autoscaler", where, f"the HPA {hpa} hardly notices the sidecar's {spelled(added)} {name}")
