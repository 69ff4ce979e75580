"""Deleting objects: grace, finalizers, propagation (registry/generic/registry's Delete and rest.BeforeDelete)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from coalmine.kube.resources import NAMESPACES, Object
from coalmine_sandbox.api import errors
from coalmine_sandbox.api.body import object_of, parse
from coalmine_sandbox.api.call import Call
from coalmine_sandbox.api.http import Request
from coalmine_sandbox.api.store import Entry, Store
from coalmine_sandbox.api.strategy.faults import invalid, not_supported
from coalmine_sandbox.api.strategy.metadata import FOREGROUND, ORPHAN
from coalmine_sandbox.api.strategy.rules import Strategy
from coalmine_sandbox.api.strategy.table import strategy_of
from coalmine_sandbox.api.times import seconds_of, timestamp
from coalmine_sandbox.api.writing import Admission

_PROPAGATIONS: Final = ("Orphan", "Background", "Foreground")
#: What int64 surely holds.
_SECONDS: Final = re.compile(r"-?[0-9]{1,18}")
#: Another writer each time, as in `writing`.
_ATTEMPTS: Final = 100


class Options(NamedTuple):
    """metav1.DeleteOptions. `grace` in seconds."""

    grace: int | None = None
    uid: str = ""
    version: str = ""
    propagation: str = ""
    dry_run: bool = False
    said: Object = {}  # noqa: RUF012  never written to


def options(request: Request) -> Options:
    """Of a DELETE: its body, or else its query. Raises StatusError (400, 422)."""
    if request.body:
        media = request.headers.get("content-type", "") or "application/json"
        value = parse(request.body, media)
        said = {**value} if isinstance(value, dict) else {}
        if not isinstance(value, dict) or said.get("kind", "DeleteOptions") != "DeleteOptions":
            raise errors.bad_request("decoded object cannot be converted to DeleteOptions")
    else:
        said = {}
        if grace := request.parameter("gracePeriodSeconds"):
            if not _SECONDS.fullmatch(grace):
                raise errors.bad_request(f'strconv.ParseInt: parsing "{grace[:50]}": invalid syntax')
            said["gracePeriodSeconds"] = int(grace)
        if policy := request.parameter("propagationPolicy"):
            said["propagationPolicy"] = policy
        if request.query.get("dryRun"):
            said["dryRun"] = list(request.query["dryRun"])
    return _checked(said)


def of_object(value: Any) -> Options:
    """DeleteOptions within another object, as an Eviction's. Raises StatusError (400, 422)."""
    return _checked(object_of(value or {}, "v1", "DeleteOptions") if value else {})


def _checked(said: Object) -> Options:
    faults = []
    propagation = said.get("propagationPolicy") or ""
    if propagation not in ("", *_PROPAGATIONS):
        faults.append(not_supported("propagationPolicy", propagation, (*_PROPAGATIONS, "nil")))
    dry_run = said.get("dryRun") or []
    if dry_run not in ([], ["All"]):
        faults.append(not_supported("dryRun", dry_run, ("All",)))
    grace = said.get("gracePeriodSeconds")
    if grace is not None and (isinstance(grace, bool) or not isinstance(grace, int)):
        faults.append(invalid("gracePeriodSeconds", grace, "must be a number of seconds"))
        grace = None
    if isinstance(orphan := said.get("orphanDependents"), bool):
        if propagation:
            detail = "orphanDependents and deletionPropagation cannot be both set"
            faults.append(invalid("propagationPolicy", propagation, detail))
        propagation = "Orphan" if orphan else "Background"
    if faults:
        raise errors.invalid("DeleteOptions.meta.k8s.io", "", faults)
    conditions = said.get("preconditions") or {}
    if not isinstance(conditions, dict):
        raise errors.bad_request("preconditions must be an object")
    told: Object = {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"}
    told |= {key: value for key, value in said.items() if key not in ("kind", "apiVersion")}
    if grace is not None and grace < 0:
        grace = 1
    return Options(
        grace,
        str(conditions.get("uid") or ""),
        str(conditions.get("resourceVersion") or ""),
        propagation,
        bool(dry_run),
        told,
    )


class Deleter:
    """Deletes objects in the store."""

    def __init__(self, store: Store, admission: Admission, clock: Callable[[], float]) -> None:
        self._store = store
        self._admission = admission
        self._clock = clock

    async def delete(self, call: Call, how: Options, *, admitted: bool = True) -> tuple[Object, bool]:
        """Delete one object, or mark it as being deleted; the object, and whether it is gone. Raises StatusError."""
        storage = call.kind.storage
        call.dry_run = call.dry_run or how.dry_run
        for _ in range(_ATTEMPTS):
            entry = self._store.entry(storage, call.namespace, call.name)
            if entry is None:
                raise errors.not_found(call.kind.qualified, call.name)
            _preconditions(call, entry.object, how)
            if admitted:
                attributes = call.attributes("DELETE", None, entry.object, how.said)
                _, warnings = await self._admission.mutate(attributes)
                call.warnings += [warning for warning in warnings if warning not in call.warnings]
                await self._admission.validate(attributes)
            if self._store.entry(storage, call.namespace, call.name) is entry:
                return self._delete(call, entry, how)
        raise errors.conflict(call.kind.qualified, call.name, errors.MODIFIED)

    def _delete(self, call: Call, entry: Entry, how: Options) -> tuple[Object, bool]:
        old = entry.object
        strategy = strategy_of(call.kind)
        marked = self._graceful(strategy, old, how)
        if marked is old:
            return old, False  # being deleted already, and not asked to hurry
        finalizers = _finalizers(call, strategy, old, how)
        grace = None if marked is None else marked["metadata"]["deletionGracePeriodSeconds"]
        if call.kind.storage == NAMESPACES and not strategy.may_vanish(old):
            if old["metadata"].get("deletionTimestamp"):
                return old, False
            now = {**self._marked(old, 0, finalizers), "status": {**(old.get("status") or {}), "phase": "Terminating"}}
            del now["metadata"]["deletionGracePeriodSeconds"]
        elif marked is not None and (grace or finalizers):
            now = {**marked, "metadata": _with_finalizers(marked["metadata"], finalizers)}
        elif finalizers:
            now = self._marked(old, 0, finalizers)
        else:
            if not call.dry_run:
                old = self._store.delete(call.kind.storage, call.namespace, call.name)
            return old, True
        if now == old or call.dry_run:
            return now, False
        return self._store.put(call.kind.storage, now), False

    def _graceful(self, strategy: Strategy, old: Object, how: Options) -> Object | None:
        """The object with its grace period begun or shortened; itself where nothing changes; None: no grace."""
        about = old["metadata"]
        seconds = strategy.grace(old, how.grace)
        if seconds is None:
            return None
        if not about.get("deletionTimestamp"):
            return self._marked(old, seconds, about.get("finalizers") or [])
        before = about.get("deletionGracePeriodSeconds")
        if not before:
            return None
        if how.grace is None or how.grace >= before:
            return old
        began = (seconds_of(about["deletionTimestamp"]) or 0.0) - before
        until, period = began + how.grace, how.grace
        if until < self._clock():
            until, period = self._clock(), min(how.grace, 1)
        changed = {**about, "deletionTimestamp": timestamp(until), "deletionGracePeriodSeconds": period}
        return {**old, "metadata": changed}

    def _marked(self, old: Object, grace: int, finalizers: list[str]) -> Object:
        """The object, being deleted; the first mark counts as a change of generation."""
        about = dict(old["metadata"])
        if not about.get("deletionTimestamp"):
            if about.get("generation"):
                about["generation"] += 1
            about["deletionTimestamp"] = timestamp(self._clock() + grace)
        about["deletionGracePeriodSeconds"] = grace
        return {**old, "metadata": _with_finalizers(about, finalizers)}


def _preconditions(call: Call, obj: Object, how: Options) -> None:
    about = obj["metadata"]
    for name, word, wanted, found in (
        ("UID", "UID", how.uid, about["uid"]),
        ("ResourceVersion", "ResourceVersion", how.version, about["resourceVersion"]),
    ):
        if wanted and wanted != found:
            then = "deleted and then recreated" if name == "UID" else "modified"
            why = (
                f"the {word} in the precondition ({wanted}) does not match the {word} in record ({found}). "
                f"The object might have been {then}"
            )
            raise errors.conflict(call.kind.qualified, call.name, why)


def _finalizers(call: Call, strategy: Strategy, old: Object, how: Options) -> list[str]:
    """What the object waits for: its own finalizers, and the garbage collector's by the propagation asked for."""
    found = list(old["metadata"].get("finalizers") or ())
    if not strategy.propagation:
        return found
    wanted = how.propagation
    if not wanted:
        if ORPHAN in found:
            wanted = "Orphan"
        elif FOREGROUND in found:
            wanted = "Foreground"
        else:
            wanted = strategy.propagation
            if wanted == "Orphan":
                call.warnings.append(
                    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background "
                    "to remove them or set propagationPolicy=Orphan to suppress this warning"
                )
    kept = [finalizer for finalizer in found if finalizer not in (ORPHAN, FOREGROUND)]
    return kept + {"Orphan": [ORPHAN], "Foreground": [FOREGROUND]}.get(wanted, [])


def _with_finalizers(about: Object, finalizers: list[str]) -> Object:
    bare = {key: value for key, value in about.items() if key != "finalizers"}
    return {**bare, "finalizers": finalizers} if finalizers else bare
