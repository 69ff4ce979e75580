"""What an uninstall will do, as sentences in its order; and what is in its way.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from coalmine.kube.resources import Object, annotations_of, labels_of, name_of, namespace_of
from coalmine.model import names
from coalmine.model.errors import SpecError
from coalmine_cli.checking.findings import about
from coalmine_cli.uninstalling.inventory import Inventory
from coalmine_cli.uninstalling.standing import Where, images_of, is_ours, where


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the person asked for. `finish` and `abort` exclude each other."""

    finish: bool = False
    abort: bool = False
    keep_sidecars: bool = False
    keep_annotations: bool = False
    keep_crds: bool = False


def ours(there: Inventory, wanted: Wanted) -> list[Object]:
    """The Deployments of which something is to be taken off."""
    return [
        d
        for d in there.deployments
        if is_ours(d, keep_sidecars=wanted.keep_sidecars, keep_annotations=wanted.keep_annotations)
    ]


def still_open(there: Inventory) -> list[Object]:
    """The Deployments in the middle of a rollout."""
    return [d for d in there.deployments if where(d) is not Where.IDLE]


def standing_text(deployment: Object) -> str:
    """How one in the middle of a rollout stands."""
    match where(deployment):
        case Where.TAKEN_BACK:
            return f"{about(deployment)}: {images_of(deployment)} was taken back and is still held"
        case Where.HANDING_OVER:
            return f"{about(deployment)}: {images_of(deployment)} is being handed over"
        case Where.ADRIFT:
            return f"{about(deployment)}: {images_of(deployment)} is held, and the annotation {names.CANARY} is gone"
    return f"{about(deployment)}: {images_of(deployment)} is a canary under way"


def refuse(there: Inventory, wanted: Wanted) -> None:
    """Raises SpecError when what was asked for cannot be done as things stand."""
    standing = still_open(there)
    if standing and not wanted.finish and not wanted.abort:
        told = ", ".join(about(d) for d in standing)
        raise SpecError(
            "",
            f"rollouts are open: {told}",
            "write --finish (each is promoted in full) or --abort (each goes back to its stable template)",
        )
    if wanted.finish and any(_needs_controller(d) for d in standing):
        problem = "" if there.leader else "no controller leads" if there.registration else "the webhook is gone"
        if problem or there.registration is None:
            raise SpecError("", f"nobody can finish a rollout: {problem or 'the webhook is gone'}", "write --abort")


def _needs_controller(deployment: Object) -> bool:
    return where(deployment) is Where.OPEN and int(deployment["spec"].get("replicas", 1)) > 0


def sentences(there: Inventory, wanted: Wanted) -> Iterator[str]:
    """What will be done, in order."""
    for d in still_open(there):
        yield _closing(d, wanted)
    if there.registration is not None:
        yield f"delete the webhook configuration {name_of(there.registration)}: nothing is held from here on"
    for d in ours(there, wanted):
        yield _letting_go(d, wanted)
    for one in there.hidden:
        yield f"delete the canary ReplicaSet {about(one)}, if the controller does not"
    if there.rollouts:
        yield f"delete {len(there.rollouts)} Rollout(s), if the controller does not"
    for one in there.components:
        yield f"delete the Deployment {about(one)}"
    if there.leader and not there.components:
        yield f"the controller {there.leader} runs outside of the cluster: stop it then"
    for one in there.keys:
        yield f"delete the ConfigMap {about(one)}"
    for resource, name in there.cluster_roles:
        yield f"delete the {resource.kind} {name}"
    if wanted.keep_crds:
        yield "keep the CustomResourceDefinitions and the analysis templates"
    else:
        for name in there.crds:
            yield f"delete the CustomResourceDefinition {name}"
        if there.templates:
            yield f"with them go {there.templates} analysis template(s): --keep-crds keeps them"
    if there.namespace is not None:
        what = (
            "with all that is in it" if there.owns_namespace else "is kept, as it is not ours: what is ours in it goes"
        )
        yield (
            f"delete the namespace {names.SYSTEM_NAMESPACE}, {what}"
            if there.owns_namespace
            else (f"the namespace {names.SYSTEM_NAMESPACE} {what}")
        )


def _closing(deployment: Object, wanted: Wanted) -> str:
    place = where(deployment)
    if place is Where.HANDING_OVER:
        return f"{about(deployment)}: wait for the end of its handover ({images_of(deployment)})"
    if place is Where.OPEN and wanted.finish:
        return f"{about(deployment)}: promote {images_of(deployment)} in full, and wait"
    if place is Where.OPEN and not wanted.abort:
        return f"{about(deployment)}: {images_of(deployment)} is open: --finish or --abort"
    return f"{about(deployment)}: go back from {images_of(deployment)} to its stable template"


def _letting_go(deployment: Object, wanted: Wanted) -> str:
    stamped = names.SIDECAR_LABEL in labels_of({"metadata": deployment["spec"]["template"].get("metadata") or {}})
    kept = any(k in annotations_of(deployment) for k in names.USER_ANNOTATIONS) and wanted.keep_annotations
    what = "take off all that is Coalmine's" + (" but the annotations that people wrote" if kept else "")
    if not stamped:
        return f"{about(deployment)}: {what}"
    if wanted.keep_sidecars:
        return f"{about(deployment)}: {what}; its sidecars stay until its next native update, and serve locally"
    return f"{about(deployment)}: {what}; a native rolling update takes its sidecars off"


def key(deployment: Object) -> tuple[str, str]:
    """Namespace and name."""
    return namespace_of(deployment), name_of(deployment)
