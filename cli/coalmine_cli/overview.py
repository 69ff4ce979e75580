"""All rollouts of a namespace, or of all: what `list rollouts` shows, as values and as lines.

Pure. Rules: phase and message are as `get rollout` tells them (`coalmine.model.view`): a status that is older than
the Deployment's last change is not told as the present one. A Deployment whose Rollout is still to be made is
listed, one without our annotation is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from coalmine.kube.resources import Object, controller_of, name_of, namespace_of
from coalmine.model.errors import RemoteError
from coalmine.model.view import PHASE_MARKS, View, view
from coalmine_cli.cluster import readable, wants_rollout
from coalmine_cli.render import ICONS
from coalmine_cli.table import Cell, Column

Key = tuple[str, str]

_COLUMNS: Final = (
    Column("NAME"),
    Column("STRATEGY", 1),
    Column("STATUS"),
    Column("STEP"),
    Column("SET-WEIGHT", 6),
    Column("READY", 5),
    Column("DESIRED", 4),
    Column("UP-TO-DATE", 3),
    Column("AVAILABLE", 2),
)
_WIDE: Final = (Column("ACTUAL-WEIGHT"), Column("IMAGES"), Column("MESSAGE"))


def overview(deployments: Iterable[Object], rollouts: Iterable[Object]) -> tuple[list[View], list[str]]:
    """The rollouts in the order of their names, and sentences about those that cannot be read."""
    annotated = {(namespace_of(d), name_of(d)): d for d in deployments}
    views: dict[Key, View] = {}
    troubles: list[str] = []
    for rollout in rollouts:
        key = namespace_of(rollout), name_of(rollout)
        deployment = annotated.pop(key, None) or _stand_in(rollout)
        try:
            with readable(rollout):
                views[key] = view(deployment, rollout)
        except RemoteError as error:
            troubles.append(str(error))
    for key, deployment in annotated.items():
        if wants_rollout(deployment):
            empty = view(deployment, {"metadata": {"name": key[1], "namespace": key[0]}})
            views[key] = replace(empty, message="waiting for the controller to make the Rollout")
    return [views[key] for key in sorted(views)], troubles


def _stand_in(rollout: Object) -> Object:
    """For a Deployment that is being deleted: what its Rollout says stands."""
    uid = str((controller_of(rollout) or {}).get("uid", ""))
    return {"metadata": {"name": name_of(rollout), "namespace": namespace_of(rollout), "uid": uid, "generation": 0}}


def fields(one: View) -> dict[str, Any]:
    """The document of a rollout: that of `get rollout`, without the tree."""
    whole = one.to_json()
    del whole["tree"]
    return whole


def headings(*, namespaces: bool, wide: bool) -> tuple[Column, ...]:
    """The columns: Argo Rollouts'; with `wide` more of ours."""
    return (Column("NAMESPACE"),) * namespaces + _COLUMNS + _WIDE * wide


def row(one: View, *, namespaces: bool, wide: bool) -> Sequence[Cell]:
    """The row of a rollout."""
    mark, count = PHASE_MARKS[one.phase], one.replicas
    cells = [
        Cell(one.name),
        Cell("Canary"),
        Cell(f"{ICONS[mark]} {one.phase}", mark.value),
        Cell(one.step),
        Cell(str(one.set_weight)),
        Cell(f"{count.ready}/{count.current}"),
        Cell(str(count.desired)),
        Cell(str(count.updated)),
        Cell(str(count.available)),
    ]
    if wide:
        images = ",".join(image.name for image in one.images)
        cells += [Cell(str(one.actual_weight)), Cell(images), Cell(one.message)]
    return [Cell(one.namespace), *cells] if namespaces else cells


def changes(before: Mapping[Key, View], now: Mapping[Key, View]) -> tuple[list[View], list[View]]:
    """The rollouts that are new or differ in what is shown, and those that are gone."""
    changed = [one for key, one in now.items() if key not in before or fields(before[key]) != fields(one)]
    return changed, [one for key, one in before.items() if key not in now]


def by_key(views: Iterable[View]) -> dict[Key, View]:
    return {(one.namespace, one.name): one for one in views}
