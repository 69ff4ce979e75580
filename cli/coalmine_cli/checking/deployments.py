"""Each annotated Deployment: whether admission would still take it, and whether its pods are what they should be.

Pure. Annotation, strategy and template are judged by the webhook's own code, as `lint` does for files.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Final

import yaml

from coalmine.kube.resources import DISRUPTION_BUDGETS, PODS, Object, annotations_of, labels_of, name_of
from coalmine.model import names
from coalmine_cli.checking.findings import Finding, Result, about, failed, ok, skipped, warning
from coalmine_cli.checking.sidecars import injection_of, sidecar_of
from coalmine_cli.checking.sight import Sight, matches, pod_labels
from coalmine_cli.checking.workload import image_of
from coalmine_cli.linting import deployments as linting
from coalmine_cli.linting.findings import Severity
from coalmine_cli.linting.manifests import Manifest

#: A file's lines are asked of a manifest; an object of a cluster has none.
_NO_LINES: Final = yaml.MappingNode("tag:yaml.org,2002:map", [], yaml.Mark("", 0, 0, 0, None, 0))
_RESTART: Final = "the controller replaces them one by one once the webhook answers; at once: coalmine restart"


def manifest_of(obj: Object) -> Manifest:
    """`obj` as `lint` takes it."""
    return Manifest("", obj, _NO_LINES)


def as_written(deployment: Object) -> Object:
    """The Deployment without what Coalmine keeps on it."""
    bare = copy.deepcopy(deployment)
    annotations = bare["metadata"].get("annotations") or {}
    if names.HOLD in annotations:
        bare["spec"].pop("paused", None)
    for key in names.OWN_ANNOTATIONS:
        annotations.pop(key, None)
    return bare


def check(sight: Sight, deployment: Object, *, before: bool) -> Iterator[Finding]:
    """All that is asked of one Deployment and its pods alone; sidecars only after an installation."""
    yield from _admission(deployment)
    if not before:
        yield from _touched(deployment)
        yield from _pods(sight, deployment)
    yield from _budget(sight, deployment)


def _admission(deployment: Object) -> Iterator[Finding]:
    where, clean = about(deployment), True
    for found in linting.check(manifest_of(as_written(deployment)), {}):
        clean = False
        result = Result.FAILED if found.severity is Severity.ERROR else Result.WARNING
        yield Finding(result, "deployment", where, found.message)  # the webhook's sentence says what to write
    if clean:
        yield ok("deployment", where, "the webhook takes its annotations and its template")


def _touched(deployment: Object) -> Iterator[Finding]:
    """One that was annotated before the webhook was there, or around it."""
    if labels_of(deployment).get(names.ROLLOUT_LABEL) == names.LABEL_TRUE:
        return
    name, namespace = name_of(deployment), deployment["metadata"]["namespace"]
    message = "it was annotated while no webhook looked, and the controller has not taken it up"
    advice = f"touch it: kubectl -n {namespace} annotate deployment/{name} touched=1"
    yield warning("deployment", about(deployment), message, advice)


def _pods(sight: Sight, deployment: Object) -> Iterator[Finding]:
    where, pods = about(deployment), sight.of(PODS)
    if pods.problem:
        yield skipped("sidecars", where, f"pods cannot be read: {pods.problem}")
        return
    found = sight.pods_of(deployment)
    bare = [p for p in found if sidecar_of(p) is None]
    if bare and pod_labels(deployment).get(names.SIDECAR_LABEL) != names.LABEL_TRUE:
        yield warning("sidecars", where, "its pods are not to have sidecars yet", "see the line above")
        return
    for pod in bare[:1]:
        reason = annotations_of(pod).get(names.SKIPPED)
        because = f" (skipped: {reason})" if reason else ""
        message = f"{len(bare)} of {len(found)} pods have no sidecar, {name_of(pod)} among them{because}"
        yield warning("sidecars", where, message, f"{_RESTART} {name_of(deployment)}")
    torn = [p for p in found if sidecar_of(p) is not None and injection_of(p) is None]
    if torn:
        message = f"{name_of(torn[0])} has a sidecar whose annotation {names.INJECTED} cannot be read"
        yield failed("sidecars", where, message, f"delete the pod: kubectl delete pod {name_of(torn[0])}")
    yield from _versions(sight, deployment, [p for p in found if p not in bare])
    if not bare and not torn:
        yield ok("sidecars", where, f"all {len(found)} pods have a sidecar")


def _versions(sight: Sight, deployment: Object, pods: Sequence[Object]) -> Iterator[Finding]:
    ours = image_of(sight.controller)
    found: dict[str, list[str]] = {}
    for pod in pods:
        found.setdefault(str((sidecar_of(pod) or {}).get("image")), []).append(name_of(pod))
    where, advice = about(deployment), f"new pods get the present one: coalmine restart {name_of(deployment)}"
    others = sorted(image for image in found if ours and image != ours)
    if others:
        count, example = sum(len(found[i]) for i in others), found[others[0]][0]
        message = f"{count} sidecars run another image than the controller: {example} {others[0]}"
        yield warning("sidecar version", where, message, advice)
    elif len(found) > 1:
        yield warning(
            "sidecar version", where, f"its sidecars run {len(found)} images: {', '.join(sorted(found))}", advice
        )


def _budget(sight: Sight, deployment: Object) -> Iterator[Finding]:
    """One replica and a budget that wants it: no eviction ever passes, ours of a pod without sidecar neither."""
    labels, namespace = pod_labels(deployment), deployment["metadata"]["namespace"]
    replicas = int(deployment["spec"].get("replicas", 1))
    for budget in sight.of(DISRUPTION_BUDGETS).of(namespace):
        spec = budget.get("spec") or {}
        if matches(spec.get("selector"), labels) and replicas and _allows_none(spec, replicas):
            message = (
                f"the PodDisruptionBudget {name_of(budget)} allows no eviction of its {replicas} pod(s), so one that "
                "lost its sidecar cannot be replaced by the controller"
            )
            advice = "raise spec.replicas, or write maxUnavailable: 1 in the budget"
            yield warning("disruption budget", about(deployment), message, advice)


def _allows_none(spec: Any, replicas: int) -> bool:
    """disruption controller: percentages of the pods are rounded up (getExpectedPodCount)."""
    if spec.get("minAvailable") is not None:
        return _scaled(spec["minAvailable"], replicas) >= replicas
    if spec.get("maxUnavailable") is not None:
        return _scaled(spec["maxUnavailable"], replicas) <= 0
    return False


def _scaled(value: Any, replicas: int) -> int:
    text = str(value)
    if text.endswith("%") and text[:-1].isdigit():
        return -(-replicas * int(text[:-1]) // 100)
    return int(text) if text.isdigit() else 0
