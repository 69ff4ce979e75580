"""How GitOps tools tell whether the cluster has drifted from Git: their documented rules as pure functions.

Each returns the paths in which the tool would find a difference; none is "in sync". Sources:

- `three_way`: Argo CD's default strategy (diff-strategies.md, "Legacy"): a three-way merge of the annotation
  last-applied-configuration, Git and live. What Git sets must stand, what Git set before must be gone, all else
  is nobody's business. `kubectl apply` makes its patch by the same rule.
- `structured_merge`: Argo CD with the sync option ServerSideApply=true: the same with managedFields in the place
  of the annotation, computed in Argo CD itself, so that no webhook takes part.
- `server_side`: Argo CD with ServerSideDiff=true: the answer of a server-side dry run beside live. Argo CD leaves out
  what webhooks change unless IncludeMutationWebhook=true is written; here everything counts, which is stricter.
- `flux`: Flux (fluxcd/pkg ssa): labels, annotations and all outside metadata and status, of a server-side dry run
  beside live. helm-controller's drift detection uses the same.

They know nothing of Coalmine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

Object = Mapping[str, Any]

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
#: Lists that are merged by a key (the API's patchMergeKey), those that a Deployment or a Service of ours can have.
_MERGE_KEYS: Final = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "conditions": "type",
}
_ABSENT: Final = object()


def three_way(config: Object, live: Object) -> list[str]:
    """Git beside live, with what was applied last as live's annotation tells it."""
    text = ((live.get("metadata") or {}).get("annotations") or {}).get(LAST_APPLIED)
    before = json.loads(text) if text else config
    return [*_wanted(config, live), *_left_over(before, config, live)]


def structured_merge(config: Object, live: Object, manager: str) -> list[str]:
    """Git beside live, with what `manager` applied last as live's managedFields tell it."""
    found = list(_wanted(config, live))
    for entry in live["metadata"].get("managedFields") or ():
        if (entry["manager"], entry["operation"]) == (manager, "Apply") and not entry.get("subresource"):
            found += _disowned(entry["fieldsV1"], config)
    return found


def server_side(dry_run: Object, live: Object) -> list[str]:
    """The answer of a server-side dry run beside live, but for what each write changes."""
    return list(_different(_without(dry_run), _without(live)))


def flux(dry_run: Object, live: Object) -> list[str]:
    """Labels, annotations, and everything but metadata and status."""

    def compared(obj: Object) -> Object:
        metadata = {key: obj["metadata"].get(key) or {} for key in ("labels", "annotations")}
        return {**{k: v for k, v in obj.items() if k != "status"}, "metadata": metadata}

    return list(_different(compared(dry_run), compared(live)))


def _without(obj: Object) -> Object:
    metadata = {k: v for k, v in obj["metadata"].items() if k not in ("managedFields", "resourceVersion")}
    return {**obj, "metadata": metadata}


def _wanted(config: Any, live: Any, path: str = "") -> Iterator[str]:
    """Where live is not what Git says."""
    if isinstance(config, Mapping) and isinstance(live, Mapping):
        for key, value in config.items():
            if value is not None and path + key != "metadata.namespace":
                yield from _wanted(value, live.get(key, _ABSENT), f"{path}{key}.")
    elif isinstance(config, Sequence) and not isinstance(config, str) and (key := _merge_key(path)):
        items = {item.get(key): item for item in live} if isinstance(live, Sequence) else {}
        for item in config:
            yield from _wanted(item, items.get(item.get(key), _ABSENT), f"{path}{item.get(key)}.")
    elif config != live:
        yield path.rstrip(".")


def _left_over(before: Any, config: Any, live: Any, path: str = "") -> Iterator[str]:
    """What Git said before and says no more, and still stands."""
    if live is _ABSENT:
        return
    if config is _ABSENT:
        yield path.rstrip(".")
    elif all(isinstance(each, Mapping) for each in (before, config, live)):
        for key, value in before.items():
            if path + key not in ("metadata.namespace", "metadata.annotations") or config.get(key):
                yield from _left_over(value, config.get(key, _ABSENT), live.get(key, _ABSENT), f"{path}{key}.")
    elif isinstance(before, Sequence) and (key := _merge_key(path)):
        old, new, now = ({item.get(key): item for item in each} for each in (before, config, live))
        for name, item in old.items():
            yield from _left_over(item, new.get(name, _ABSENT), now.get(name, _ABSENT), f"{path}{name}.")


def _disowned(fields: Object, config: Any, path: str = "", keys: Sequence[str] = ()) -> Iterator[str]:
    """Fields that a manager owns and that Git does not set: its next apply would remove them.

    `keys` are those of the list item that `config` is; they are owned along with it.
    """
    for key, below in fields.items():
        kind, _, name = key.partition(":")
        item: Sequence[str] = ()
        value = _ABSENT
        if kind == "f" and isinstance(config, Mapping):
            value = config.get(name, _ABSENT)
        elif kind == "k" and isinstance(config, Sequence):
            wanted = json.loads(name)
            item = list(wanted)
            # a key with a default (a port's protocol) need not be in Git
            value = next((i for i in config if all(i.get(k, v) == v for k, v in wanted.items())), _ABSENT)
        elif kind == "v" and isinstance(config, Sequence) and json.loads(name) in config:
            value = json.loads(name)
        if kind == "." or (value is _ABSENT and name in keys):
            continue
        if value is _ABSENT:
            yield f"{path}{name}"
        elif below:
            yield from _disowned(below, value, f"{path}{name}.", item)


def _merge_key(path: str) -> str | None:
    name = path.rstrip(".").rpartition(".")[2]
    if path.startswith("spec.ports"):
        return "port"  # a Service's, not a container's
    return _MERGE_KEYS.get(name)


def _different(one: Any, other: Any, path: str = "") -> Iterator[str]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other}):
            yield from _different(one.get(key, _ABSENT), other.get(key, _ABSENT), f"{path}{key}.")
    elif one != other:
        yield path.rstrip(".")
