"""CustomResourceDefinitions: which names are accepted, and what a definition makes the server serve.

`crd_rules` says what is wrong with one before it is stored. Here it is stored, and known to be right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from coalmine.kube.resources import Object, Resource
from coalmine_sandbox.api.custom import Column, Custom
from coalmine_sandbox.api.definitions import Accepted, Judge
from coalmine_sandbox.api.errors import Cause
from coalmine_sandbox.api.schema import check, structural
from coalmine_sandbox.api.schema.node import Node
from coalmine_sandbox.api.strategy.faults import invalid
from coalmine_sandbox.api.times import timestamp

_MOST_REPLICAS: Final = 2**31 - 1


def judge(clock: Callable[[], float]) -> Judge:
    """The judge of definitions; `clock` (Unix time) dates their conditions."""

    def judged(definition: Object, others: list[Object]) -> Accepted:
        return _accept(definition, others, timestamp(clock()))

    return judged


def _accept(definition: Object, others: list[Object], now: str) -> Accepted:
    """The definition's status, and its kind once its names are its own (apiextensions' naming controller)."""
    spec, status = definition["spec"], definition.get("status") or {}
    accepted, conflict = _names(spec, status.get("acceptedNames") or {}, others)
    before = {c["type"]: c for c in status.get("conditions") or ()}
    was = before.get("Established", {}).get("status") == "True"
    if conflict:
        named = _condition("NamesAccepted", "False", *conflict)
        established = before.get("Established") if was else None
        established = established or _condition("Established", "False", "NotAccepted", "not all names are accepted")
    else:
        named = _condition("NamesAccepted", "True", "NoConflicts", "no conflicts found")
        message = "the initial names have been accepted"
        established = _condition("Established", "True", "InitialNamesAccepted", message)
    conditions = [_dated(condition, before, now) for condition in (named, established)]
    known = {each["type"] for each in conditions}
    conditions += [condition for kind, condition in before.items() if kind not in known]
    stored = status.get("storedVersions") or [v["name"] for v in spec["versions"] if v.get("storage")]
    made = {**status, "conditions": conditions, "acceptedNames": accepted, "storedVersions": stored}
    return Accepted(made, custom(definition) if established["status"] == "True" else None)


def _names(spec: Object, accepted: Object, others: list[Object]) -> tuple[Object, tuple[str, str] | None]:
    """The names that are the definition's own, and the last conflict: a reason and a sentence."""
    wanted = spec["names"]
    taken_words: set[Any] = set()
    taken_kinds: set[Any] = set()
    for other in others:
        if other["spec"].get("group") == spec.get("group"):
            theirs = (other.get("status") or {}).get("acceptedNames") or {}
            taken_words |= {theirs.get("plural"), theirs.get("singular"), *(theirs.get("shortNames") or ())}
            taken_kinds |= {theirs.get("kind"), theirs.get("listKind")}
    mine = {**accepted, "plural": accepted.get("plural", ""), "kind": accepted.get("kind", "")}
    conflict = None
    for field, taken, reason in (
        ("plural", taken_words, "PluralConflict"),
        ("singular", taken_words, "SingularConflict"),
        ("shortNames", taken_words, "ShortNamesConflict"),
        ("kind", taken_kinds, "KindConflict"),
        ("listKind", taken_kinds, "ListKindConflict"),
    ):
        names = wanted.get(field)
        if not names:
            mine.pop(field, None)
            continue
        clash = [name for name in ([names] if isinstance(names, str) else names) if name in taken]
        if clash:
            conflict = (reason, ", ".join(f'"{name}" is already in use' for name in clash))
        else:
            mine[field] = names
    if wanted.get("categories"):
        mine["categories"] = wanted["categories"]
    return mine, conflict


def _condition(kind: str, status: str, reason: str, message: str) -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def _dated(condition: Object, before: dict[str, Object], now: str) -> Object:
    """With the time at which its status changed last."""
    old = before.get(condition["type"], {})
    same = old.get("status") == condition["status"] and old.get("lastTransitionTime")
    at = old["lastTransitionTime"] if same else now
    kept = {key: value for key, value in condition.items() if key != "lastTransitionTime"}
    return {"type": kept.pop("type"), "status": kept.pop("status"), "lastTransitionTime": at, **kept}


# --- what is served ----------------------------------------------------------------------------


def custom(definition: Object) -> Custom | None:
    """The kind of a definition; None where its version is not served."""
    spec = definition["spec"]
    version = next((v for v in spec["versions"] if v.get("served") and v.get("storage")), None)
    if version is None:
        return None
    names = spec["names"]
    schema = version["schema"]["openAPIV3Schema"]
    node = structural.structure(schema)
    subresources = version.get("subresources") or {}
    scale = subresources.get("scale") or {}
    paths = tuple(str(scale.get(f) or "") for f in ("specReplicasPath", "statusReplicasPath", "labelSelectorPath"))
    api_version = f"{spec['group']}/{version['name']}"
    return Custom(
        resource=Resource(api_version, names["kind"], names["plural"], spec["scope"] == "Namespaced"),
        singular=names.get("singular") or names["kind"].lower(),
        node=node,
        faults=_checker(node, paths[0]),
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=tuple(name for name in ("status", "scale") if subresources.get(name) is not None),
        columns=tuple(_columns(version)),
        schema=schema,
        scale=(paths[0], paths[1], paths[2]),
    )


def _columns(version: Object) -> Iterator[Column]:
    # who defines no columns gets the one that every kind has
    age = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
    for column in version.get("additionalPrinterColumns") or [age]:
        yield Column(
            name=column["name"],
            type=column["type"],
            path=column["jsonPath"],
            format=column.get("format") or "",
            description=column.get("description") or "",
            priority=int(column.get("priority") or 0),
        )


def _checker(node: Node, replicas: str) -> Callable[[Object, Object | None], list[Cause]]:
    """Finds the faults of custom objects: those of the schema, and of the replicas that the scale subresource shows."""

    def found(obj: Object, old: Object | None) -> list[Cause]:
        faults = check.faults(node, obj)
        if old is not None:
            faults = _ratcheted(faults, node, old)
        return faults + (_replica_faults(obj, replicas) if replicas else [])

    return found


def _ratcheted(faults: list[Cause], node: Node, old: Object) -> list[Cause]:
    """What was wrong before and was not touched stays as it is (CRDValidationRatcheting)."""
    if not faults:
        return faults
    known = {(fault.reason, fault.field, fault.message) for fault in check.faults(node, old)}
    return [fault for fault in faults if (fault.reason, fault.field, fault.message) not in known]


def _replica_faults(obj: Object, path: str) -> list[Cause]:
    value: Any = obj
    for part in path.strip(".").split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if value is None or isinstance(value, bool) or not isinstance(value, int):
        return []  # another type is the schema's matter
    if value < 0:
        return [invalid(path, value, "should be a non-negative integer")]
    if value > _MOST_REPLICAS:
        return [invalid(path, value, f"should be less than or equal to {_MOST_REPLICAS}")]
    return []
