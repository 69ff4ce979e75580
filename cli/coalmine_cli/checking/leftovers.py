"""What stands around without anybody to look after it.

Pure. Each is harmless while Coalmine runs, and in the way when it does not.
"""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.kube.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    REPLICA_SETS,
    Object,
    annotations_of,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from coalmine.model import names
from coalmine_cli.checking.controller import leads
from coalmine_cli.checking.findings import Finding, Result, about, failed, ok, warning
from coalmine_cli.checking.sight import Sight, pod_labels


def check(sight: Sight, *, before: bool) -> Iterator[Finding]:
    """Holds, hidden ReplicaSets, keys and stamps that nobody minds."""
    found = [*_deployments(sight, before=before), *_hidden(sight), *_keys(sight)]
    yield from found
    if not any(f.result is not Result.OK for f in found) and not sight.of(DEPLOYMENTS).problem:
        yield ok("leftovers", "cluster", "nothing is left over")


def _deployments(sight: Sight, *, before: bool) -> Iterator[Finding]:
    led = not before and leads(sight)
    for d in sight.of(DEPLOYMENTS):
        annotations = annotations_of(d)
        where, on = about(d), f"kubectl -n {namespace_of(d)}"
        name = name_of(d)
        if names.CANARY not in annotations:
            ours = [k for k in names.OWN_ANNOTATIONS if k in annotations]
            stamped = pod_labels(d).get(names.SIDECAR_LABEL) == names.LABEL_TRUE
            labelled = names.ROLLOUT_LABEL in labels_of(d)
            if names.HOLD in annotations and d["spec"].get("paused"):
                message = f"it is held, and has no annotation {names.CANARY}: nobody will release it"
                yield failed("leftovers", where, message, _let_go(d))
            elif ours or stamped or labelled:
                message = f"it has no annotation {names.CANARY}, and is marked as ours all the same"
                yield warning("leftovers", where, message, _let_go(d))
        elif names.HOLD in annotations and not led:
            message = "its new template is held, and no controller leads: it stays where it is"
            advice = (
                f"start the controller, or go back: coalmine undo {name}, or ship it: "
                f"{on} annotate --overwrite deployment/{name} {names.CANARY}=off"
            )
            yield failed("leftovers", where, message, advice)
        elif names.HOLD in annotations and not d["spec"].get("paused"):
            message = f"it carries {names.HOLD} and is not paused: it was written while no webhook looked"
            yield failed(
                "leftovers",
                where,
                message,
                f"see that the webhook answers, then {on} annotate deployment/{name} touched=1",
            )


def _let_go(d: Object) -> str:
    return (
        f"write the annotation again, or let go of it: coalmine uninstall --dry-run shows what is done ({name_of(d)})"
    )


def _hidden(sight: Sight) -> Iterator[Finding]:
    deployments = {(namespace_of(d), uid_of(d)): d for d in sight.of(DEPLOYMENTS)}
    for one in sight.of(REPLICA_SETS):
        annotations = annotations_of(one)
        if annotations.get(names.ROLE) != names.ROLE_CANARY:
            continue
        owner = deployments.get((namespace_of(one), annotations.get(names.DEPLOYMENT_UID, "")))
        if owner is None or names.CANARY not in annotations_of(owner):
            name = annotations.get(names.DEPLOYMENT_NAME, "?")
            why = "is gone" if owner is None else f"has no annotation {names.CANARY}"
            message = f"it is a hidden canary ReplicaSet, and its Deployment {name} {why}"
            advice = (
                f"the controller deletes it; by hand: kubectl -n {namespace_of(one)} delete replicaset {name_of(one)}"
            )
            yield warning("leftovers", about(one), message, advice)


def _keys(sight: Sight) -> Iterator[Finding]:
    wanted = {namespace_of(d) for d in sight.of(DEPLOYMENTS) if names.CANARY in annotations_of(d)}
    for one in sight.of(CONFIG_MAPS):
        if name_of(one) == names.KEYS_CONFIGMAP and namespace_of(one) not in wanted:
            message = f"there is a ConfigMap {names.KEYS_CONFIGMAP}, and no annotated Deployment"
            advice = f"remove it: kubectl -n {namespace_of(one)} delete configmap {names.KEYS_CONFIGMAP}"
            yield warning("leftovers", namespace_of(one), message, advice)
