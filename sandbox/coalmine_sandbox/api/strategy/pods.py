"""Pods. Pure."""

from __future__ import annotations

from typing import Any, Final

from coalmine.kube.resources import Object
from coalmine_sandbox.api.errors import Cause
from coalmine_sandbox.api.strategy import pod_spec
from coalmine_sandbox.api.strategy.faults import forbidden, invalid
from coalmine_sandbox.api.strategy.rules import Strategy, change_metadata, put

_UPDATABLE: Final = (
    "`spec.containers[*].image`",
    "`spec.initContainers[*].image`",
    "`spec.activeDeadlineSeconds`",
    "`spec.tolerations` (only additions to existing tolerations)",
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
)
_TERMINAL: Final = ("Failed", "Succeeded")


class Pods(Strategy):
    status_keeps = ("deletionTimestamp", "ownerReferences")
    shows_deleted = True

    def prepare_create(self, obj: Object) -> None:
        obj["status"] = {"phase": "Pending", "qosClass": quality(obj.get("spec") or {})}
        change_metadata(obj, {"generation": 1})

    def validate(self, obj: Object) -> list[Cause]:
        return pod_spec.validate(obj.get("spec") or {}, "spec")

    def prepare_update(self, new: Object, old: Object) -> None:
        put(new, "status", old.get("status"))
        if new.get("spec") != old.get("spec"):
            change_metadata(new, {"generation": old["metadata"].get("generation", 0) + 1})

    def validate_update(self, new: Object, old: Object) -> list[Cause]:
        now, was = new["spec"], old["spec"]
        faults = []
        for group in ("containers", "initContainers"):
            if len(now.get(group) or ()) != len(was.get(group) or ()):
                return [forbidden(f"spec.{group}", "pod updates may not add or remove containers")]
        kept, given = was.get("tolerations") or [], now.get("tolerations") or []
        if any(each not in given for each in kept):
            detail = "existing toleration can not be modified except its tolerationSeconds"
            if not _only_seconds(kept, given):
                faults.append(forbidden("spec.tolerations", detail))
        before, after = was.get("activeDeadlineSeconds"), now.get("activeDeadlineSeconds")
        if before is not None and after is None:
            detail = "must not update from a positive integer to nil value"
            faults.append(invalid("spec.activeDeadlineSeconds", after, detail))
        elif before is not None and after > before:
            detail = "must be less than or equal to previous value"
            faults.append(invalid("spec.activeDeadlineSeconds", after, detail))
        if (changed := _changed(now, was)) and not faults:
            detail = (
                f"pod updates may not change fields other than {','.join(_UPDATABLE)}\n{', '.join(changed)} changed"
            )
            faults.append(forbidden("spec", detail))
        return faults

    def prepare_status(self, new: Object, old: Object) -> None:
        super().prepare_status(new, old)
        status, before = new.get("status") or {}, old.get("status") or {}
        if not status.get("qosClass") and before.get("qosClass"):
            new["status"] = {**status, "qosClass": before["qosClass"]}

    def grace(self, obj: Object, asked: int | None) -> int | None:
        spec = obj["spec"]
        seconds = asked if asked is not None else spec.get("terminationGracePeriodSeconds", 0)
        if not spec.get("nodeName") or (obj.get("status") or {}).get("phase") in _TERMINAL:
            return 0
        return 1 if seconds < 0 else int(seconds)


def _only_seconds(kept: list[Object], given: list[Object]) -> bool:
    bare = [{k: v for k, v in each.items() if k != "tolerationSeconds"} for each in given]
    return all({k: v for k, v in each.items() if k != "tolerationSeconds"} in bare for each in kept)


def _changed(now: Object, was: Object) -> list[str]:
    """The fields of a pod's spec that were changed and may not be."""
    changed = []
    for field in sorted({*now, *was}):
        new, old = now.get(field), was.get(field)
        if field in ("activeDeadlineSeconds", "tolerations") or new == old:
            continue
        if field == "terminationGracePeriodSeconds" and isinstance(old, int) and old < 0 and new == 1:
            continue
        if field == "schedulingGates" and all(each in (old or ()) for each in new or ()):
            continue
        if field in ("containers", "initContainers"):
            for number, (one, other) in enumerate(zip(new or (), old or (), strict=True)):
                names = sorted(k for k in {*one, *other} if k != "image" and one.get(k) != other.get(k))
                changed += [f"spec.{field}[{number}].{name}" for name in names]
            continue
        changed.append(f"spec.{field}")
    return changed


def quality(spec: Object) -> str:
    """The pod's QoS class: Guaranteed, Burstable, BestEffort."""
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    resources: list[Any] = [container.get("resources") or {} for container in containers]
    asks = [each.get(side) or {} for each in resources for side in ("requests", "limits")]
    if not any(name in ask for ask in asks for name in ("cpu", "memory")):
        return "BestEffort"
    for each in resources:
        limits, requests = each.get("limits") or {}, each.get("requests") or {}
        for name in ("cpu", "memory"):
            if name not in limits or requests.get(name, limits[name]) != limits[name]:
                return "Burstable"
    return "Guaranteed"
