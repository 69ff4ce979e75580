"""`undo NAME [--to-revision N]`: an earlier revision's template again, also while a canary is held.

Rules: revisions are the native controller's: the ReplicaSets that the Deployment controls, by their
number. A hidden canary is none, whatever number it carries. Only the template is written: the
annotations, hence the strategy, stay as they are.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from coalmine.model import names
from coalmine.model.errors import SpecError
from coalmine.model.fingerprint import fingerprint
from coalmine_cli import template
from coalmine_cli.call import DONE, Call, Verbs, add_name, add_output, add_verb
from coalmine_cli.output import told

if TYPE_CHECKING:
    from coalmine.kube.resources import Object


def declare(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "undo",
        run,
        about="go back to an earlier revision's template",
        more="While a canary is held, or was taken back, that is stable's unless a revision is named: it is released "
        "at once, with no pod touched. Otherwise it is a new template for the Deployment, hence a canary. "
        "Annotations stay as they are, where `kubectl rollout undo` replaces all of them. With Argo CD or Flux, "
        "revert the commit instead, or it is applied again.",
    )
    add_name(parser)
    parser.add_argument(
        "--to-revision",
        type=_revision,
        default=0,
        metavar="N",
        help="a number of `kubectl rollout history`; default: the one before, or stable if a canary is held",
    )
    add_output(parser)


def _revision(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise argparse.ArgumentTypeError(f"{text!r} is no revision: write a number of `kubectl rollout history`")
    return int(text)


class Revision(NamedTuple):
    """A number, and the template that it had."""

    number: int
    template: Mapping[str, Any]

    @property
    def images(self) -> str:
        return ", ".join(str(c.get("image")) for c in self.template["spec"].get("containers") or ())


async def run(call: Call) -> int:
    from coalmine.kube.resources import REPLICA_SETS
    from coalmine_cli.cluster import connected

    name = call.arguments.name
    async with connected(call.arguments) as cluster:
        deployment = await cluster.deployment(name)
        sets, _ = await cluster.client.list(REPLICA_SETS, cluster.namespace)
        to = choose(deployment, sets, call.arguments.to_revision)
        if same(deployment, to.template):
            sentence = f"deployment.apps/{name} has the template of revision {to.number} already: nothing changed"
            told(call, cluster.namespace, "undo", sentence, changed=False)
            return DONE
        before, after = await template.write(cluster, deployment, lambda _: to.template)
        sentence = f"deployment.apps/{name} rolled back to revision {to.number} ({to.images})"
        told(call, cluster.namespace, "undo", f"{sentence}\n{template.consequence(before, after)}")
    return DONE


def revisions(deployment: Object, replica_sets: Iterable[Object]) -> list[Revision]:
    """The Deployment's revisions, the newest first."""
    from coalmine.kube.resources import annotations_of, controller_of, uid_of

    found = []
    for one in replica_sets:
        number, owner = annotations_of(one).get(names.REVISION, ""), controller_of(one)
        if owner is None or owner.get("uid") != uid_of(deployment) or names.ROLE in annotations_of(one):
            continue
        if number.isascii() and number.isdigit() and len(number) <= 18:
            found.append(Revision(int(number), bare(one["spec"]["template"])))
    return sorted(found, key=lambda r: r.number, reverse=True)


def choose(deployment: Object, replica_sets: Iterable[Object], wanted: int) -> Revision:
    """The revision to go back to; `wanted` 0 leaves the choice to the rules. Raises SpecError."""
    name, known = deployment["metadata"]["name"], revisions(deployment, replica_sets)
    if wanted:
        chosen = next((r for r in known if r.number == wanted), None)
        if chosen is None:
            there = ", ".join(str(r.number) for r in known) or "none"
            raise SpecError("", f"the Deployment {name} has no revision {wanted}", f"there are: {there}")
        return chosen
    if template.is_held(deployment):
        stable = (deployment["metadata"].get("annotations") or {}).get(names.STABLE)
        chosen = next((r for r in known if fingerprint(r.template) == stable), None)
        if chosen is None:
            raise SpecError(
                "",
                f"no ReplicaSet of {name} has the stable template any more",
                "set its images again, or name a revision: --to-revision N",
            )
        return chosen
    chosen = next((r for r in known if not same(deployment, r.template)), None)
    if chosen is None:
        raise SpecError(
            "",
            f"the Deployment {name} has no earlier revision",
            "see `kubectl rollout history`; spec.revisionHistoryLimit says how many are kept",
        )
    return chosen


def bare(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A ReplicaSet's pod template as the Deployment had it: without the hash that the native controller added."""
    made = copy.deepcopy(dict(raw))
    ((made.get("metadata") or {}).get("labels") or {}).pop(names.POD_TEMPLATE_HASH, None)
    return made


def same(deployment: Mapping[str, Any], raw: Mapping[str, Any]) -> bool:
    """Whether the Deployment has this template; our stamp, which a revision from before lacks, is no difference."""
    return _without_stamp(deployment["spec"]["template"]) == _without_stamp(raw)


def _without_stamp(raw: Mapping[str, Any]) -> str:
    made = copy.deepcopy(dict(raw))
    ((made.get("metadata") or {}).get("labels") or {}).pop(names.SIDECAR_LABEL, None)
    return fingerprint(made)
