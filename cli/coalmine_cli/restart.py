"""`restart NAME`: new pods of the same image, brought up as any new template: as a canary."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

from coalmine.model.durations import format_time
from coalmine.model.errors import SpecError
from coalmine.model.fingerprint import fingerprint
from coalmine.model.names import FAILED
from coalmine_cli import template
from coalmine_cli.call import DONE, Call, Verbs, add_name, add_output, add_verb
from coalmine_cli.output import told

#: kubectl's own key (polymorphichelpers/objectrestarter.go), so that both count as the same thing.
RESTARTED_AT: Final = "kubectl.kubernetes.io/restartedAt"


def declare(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "restart",
        run,
        about="replace the pods of a Deployment",
        more=f"It sets {RESTARTED_AT} in the pod template, as `kubectl rollout restart` does, but also while a "
        "canary is held. That is a new template: the new pods are brought up as a canary, in the same steps.",
    )
    add_name(parser)
    add_output(parser)


async def run(call: Call) -> int:
    from coalmine_cli.cluster import connected

    name, stamp = call.arguments.name, format_time(call.clock())
    async with connected(call.arguments) as cluster:
        deployment = await cluster.deployment(name)
        check(deployment)
        before, after = await template.write(cluster, deployment, lambda raw: restarted(raw, stamp))
        sentence = f"deployment.apps/{name} restarted\n{template.consequence(before, after)}"
        told(call, cluster.namespace, "restart", sentence)
    return DONE


def check(deployment: Mapping[str, Any]) -> None:
    """Raises SpecError when a restart would not do what a person expects of it."""
    name, failed = deployment["metadata"]["name"], (deployment["metadata"].get("annotations") or {}).get(FAILED)
    if failed is not None and failed == fingerprint(deployment["spec"]["template"]):
        raise SpecError(
            "",
            f"the canary of {name} was aborted, and a restart would bring up the same version once more",
            f"`coalmine retry {name}` does so too; to restart stable, go back to it first: `coalmine undo {name}`",
        )


def restarted(raw: Mapping[str, Any], stamp: str) -> dict[str, Any]:
    """The pod template `raw` with the time of its restart."""
    made = copy.deepcopy(dict(raw))
    metadata = made["metadata"] = dict(made.get("metadata") or {})
    metadata["annotations"] = {**(metadata.get("annotations") or {}), RESTARTED_AT: stamp}
    return made
