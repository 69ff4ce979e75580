"""Creating and changing objects, in kube-apiserver's order (registry/generic/registry's Store).

Create: metadata of the system's is wiped, fields get their manager, mutating admission, name and uid, the kind's
rules, validating admission, the store. Change: what is there now, the change made of it, managers, mutating
admission, the version that the writer saw, the kind's rules, validating admission, the store; and all of it again
when somebody else wrote in between.

Rules: admission is the only place where a write waits; whatever was looked at before is looked at again after it.
Nothing in here knows HTTP.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from typing import Any, Final, Protocol

from coalmine.kube.resources import Object
from coalmine_sandbox.api import errors
from coalmine_sandbox.api.admission.attributes import Attributes
from coalmine_sandbox.api.allocation import Allocation
from coalmine_sandbox.api.body import complete, node_of
from coalmine_sandbox.api.call import Call, place
from coalmine_sandbox.api.errors import Cause, StatusError
from coalmine_sandbox.api.kinds import Kind, has_status
from coalmine_sandbox.api.merge import managed, managers
from coalmine_sandbox.api.schema import check
from coalmine_sandbox.api.schema.spelling import zero
from coalmine_sandbox.api.store import Store
from coalmine_sandbox.api.strategy import metadata
from coalmine_sandbox.api.strategy.faults import invalid
from coalmine_sandbox.api.strategy.rules import Strategy, all_faults, change_metadata
from coalmine_sandbox.api.strategy.table import strategy_of
from coalmine_sandbox.api.times import timestamp

#: apiserver's maxNameGenerationCreateAttempts.
_NAME_ATTEMPTS: Final = 8
#: Of a generated name: 63 less five random characters (names.maxGeneratedNameLength).
_LONGEST_PREFIX: Final = 58
_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
_SYSTEM: Final = ("creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")
#: Another writer each time: nobody loses so often in a row, unless something writes without end.
_ATTEMPTS: Final = 100


class Admission(Protocol):
    """`admission.chain.Admission`."""

    async def mutate(self, attributes: Attributes) -> tuple[Object | None, list[str]]: ...

    async def validate(self, attributes: Attributes) -> None: ...


#: What a change makes of the object as it is (None: of nothing).
Change = Callable[[Object | None], Object]


class Writer:
    """Creates and changes objects in the store."""

    def __init__(
        self,
        store: Store,
        admission: Admission,
        allocation: Allocation,
        clock: Callable[[], float],
        chance: random.Random,
    ) -> None:
        self._store = store
        self._admission = admission
        self._allocation = allocation
        self._clock = clock
        self._chance = chance

    # --- create --------------------------------------------------------------------------------

    async def create(self, call: Call, obj: Object) -> Object:
        """Create a decoded object; what was stored (or, on a dry run, would be). Raises StatusError."""
        obj["metadata"] = {key: value for key, value in obj["metadata"].items() if key not in _SYSTEM}
        if obj["metadata"].get("resourceVersion"):
            raise errors.bad_request("resourceVersion should not be set on objects to be created")
        place(obj, call.namespace)
        deduplicate_owners(obj, call)
        obj = self.managed(call, None, obj)
        obj = await self._mutated(call, "CREATE", obj, None)
        generated = not obj["metadata"].get("name") and obj["metadata"].get("generateName")
        for attempt in range(_NAME_ATTEMPTS if generated else 1):
            try:
                return await self._created(call, obj)
            except StatusError as error:
                if error.reason != "AlreadyExists" or not generated or attempt == _NAME_ATTEMPTS - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _created(self, call: Call, draft: Object) -> Object:
        obj = dict(draft)
        about = dict(obj["metadata"])
        if not about.get("name") and (prefix := about.get("generateName")):
            about["name"] = prefix[:_LONGEST_PREFIX] + "".join(self._chance.choices(_LETTERS, k=5))
        # of the same chance as all else: a seeded server makes the same uids
        about["uid"] = str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
        about["creationTimestamp"] = timestamp(self._clock())
        obj["metadata"] = about
        place(obj, call.namespace)
        strategy = strategy_of(call.kind)
        strategy.prepare_create(obj)
        if "status" not in obj and call.kind.custom is None and "status" in node_of(call.kind).fields:
            obj["status"] = zero(node_of(call.kind)).get("status", {})  # Go's empty struct is written
        self._refuse(call.kind, obj, all_faults(strategy, obj, self._schema_faults(call.kind, obj, None)))
        self._allocation.give(call.kind, obj)
        name = obj["metadata"]["name"]
        await self._admission.validate(call.attributes("CREATE", obj, None))
        if (present := self._store.get(call.kind.storage, call.namespace, name)) is not None:
            error = errors.already_exists(call.kind.qualified, name)
            if present["metadata"].get("deletionTimestamp"):
                error = StatusError(409, "AlreadyExists", f"object is being deleted: {error.message}", error.details)
            raise error
        if call.dry_run:
            return obj
        self._allocation.give(call.kind, obj)  # somebody may have taken it meanwhile
        return self._store.put(call.kind.storage, obj)

    # --- change --------------------------------------------------------------------------------

    async def update(
        self, call: Call, change: Change, *, may_create: bool = False, uid: str = "", admitted: bool = True
    ) -> tuple[Object, bool]:
        """Change an object by `change`, which is asked again whenever somebody else wrote in between.

        What is stored then, and whether it was created. `uid`: only if the object is still that one. `admitted`
        False: admission was asked already, about something else (a Scale). Raises StatusError.
        """
        storage = call.kind.storage
        for _ in range(_ATTEMPTS):
            entry = self._store.entry(storage, call.namespace, call.name)
            if entry is None:
                if not may_create:
                    raise errors.not_found(call.kind.qualified, call.name)
                new = change(None)
                if (sent := new["metadata"].get("uid")) is not None:
                    why = f"uid mismatch: the provided object specified uid {sent}, and no existing object was found"
                    raise errors.conflict(call.kind.qualified, call.name, why)
                new = await self._mutated(call, "CREATE", new, None)
                change_metadata(new, {"resourceVersion": None, "name": call.name})
                try:
                    return await self._created(call, new), True
                except StatusError as error:
                    if error.reason != "AlreadyExists":
                        raise
                continue  # somebody else created it meanwhile: now it is a change
            old = entry.object
            precondition(call.kind, old, uid)
            new = change(old)
            place(new, call.namespace)
            if admitted:
                new = await self._mutated(call, "UPDATE", new, old)
            deduplicate_owners(new, call)
            strategy = strategy_of(call.kind)
            self._same_version(call, strategy, new, old)
            new = self._prepared(call, strategy, new, old)
            if admitted:
                await self._admission.validate(call.attributes("UPDATE", new, old))
            if self._store.entry(storage, call.namespace, call.name) is not entry:
                continue
            return self._stored(call, strategy, new, old), False
        raise errors.conflict(call.kind.qualified, call.name, errors.MODIFIED)

    def _same_version(self, call: Call, strategy: Strategy, new: Object, old: Object) -> None:
        sent = new["metadata"].get("resourceVersion") or ""
        current = old["metadata"]["resourceVersion"]
        if not sent:
            if not strategy.unconditional:
                fault = invalid("metadata.resourceVersion", 0, "must be specified for an update")
                raise errors.invalid(call.kind.qualified, call.name, [fault])
        elif sent != current:
            if not sent.isdigit():
                raise errors.bad_request(f'invalid resource version "{sent}"')
            raise errors.conflict(call.kind.qualified, call.name, errors.MODIFIED)
        change_metadata(new, {"resourceVersion": current})

    def _prepared(self, call: Call, strategy: Strategy, new: Object, old: Object) -> Object:
        now, was = new["metadata"], old["metadata"]
        kept = {field: was.get(field) for field in ("generation", "creationTimestamp")}
        if not now.get("uid"):
            kept["uid"] = was["uid"]
        change_metadata(new, kept)
        if call.subresource == "finalize":
            # the one write that may change what keeps a Namespace
            for field in [key for key in {*new, *old} if key not in ("spec", "metadata")]:
                new[field] = old.get(field)
            new = {key: value for key, value in new.items() if value is not None}
        elif call.subresource == "status":
            strategy.prepare_status(new, old)
        else:
            strategy.prepare_update(new, old)
        # an update never takes a deletion back
        change_metadata(new, {f: was.get(f) for f in ("deletionTimestamp", "deletionGracePeriodSeconds")})
        new = managers.settled(old, new)
        schema = self._schema_faults(call.kind, new, old)
        faults = metadata.validate_update(new, old)
        if call.subresource == "status":
            faults += [*metadata.validate(new, strategy.name_faults), *strategy.validate_status(new, old), *schema]
        elif call.subresource != "finalize":
            faults += [*all_faults(strategy, new, schema), *strategy.validate_update(new, old)]
        self._refuse(call.kind, new, faults)
        self._allocation.give(call.kind, new, old)
        return new

    def _stored(self, call: Call, strategy: Strategy, new: Object, old: Object) -> Object:
        if vanishes(strategy, new, old):
            if not call.dry_run:
                self._store.delete(call.kind.storage, call.namespace, call.name)
            return new
        if new == old:
            return old
        return new if call.dry_run else self._store.put(call.kind.storage, new)

    # --- steps of both -------------------------------------------------------------------------

    def managed(self, call: Call, old: Object | None, new: Object) -> Object:
        """`new` with its fields' managers."""
        return managed.updated(
            node_of(call.kind),
            old,
            new,
            manager=call.manager,
            subresource=call.subresource,
            time=timestamp(self._clock()),
            status=has_status(call.kind),
        )

    async def _mutated(self, call: Call, operation: Any, new: Object, old: Object | None) -> Object:
        mutated, warnings = await self._admission.mutate(call.attributes(operation, new, old))
        call.warnings += [warning for warning in warnings if warning not in call.warnings]
        assert mutated is not None, "only a deletion has no object"
        # a copy: the steps that follow replace fields of it
        return dict(mutated if mutated is new else complete(call.kind, mutated))

    def _schema_faults(self, kind: Kind, obj: Object, old: Object | None) -> list[Cause]:
        if kind.custom is not None:
            return kind.custom.faults(obj, old)
        return check.faults(node_of(kind), obj)

    def _refuse(self, kind: Kind, obj: Object, faults: list[Cause]) -> None:
        seen: set[tuple[str, str]] = set()
        once = []
        for fault in faults:
            # the schema and the kind's own rules may both miss a required field
            key = fault.field, fault.reason if fault.reason == "FieldValueRequired" else fault.message
            if key not in seen:
                seen.add(key)
                once.append(fault)
        if once:
            raise errors.invalid(kind.qualified_kind, str(obj["metadata"].get("name") or ""), once)


def precondition(kind: Kind, old: Object, uid: str) -> None:
    """Raises StatusError (409) when `uid` names another object."""
    if uid and uid != old["metadata"]["uid"]:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old['metadata']['uid']}"
        raise errors.conflict(kind.qualified, old["metadata"]["name"], why)


def vanishes(strategy: Strategy, new: Object, old: Object) -> bool:
    """A change that takes away the last thing that keeps an object which is being deleted."""
    was = old["metadata"]
    return (
        not new["metadata"].get("finalizers")
        and bool(was.get("deletionTimestamp"))
        and not was.get("deletionGracePeriodSeconds")
        and strategy.may_vanish(new)
    )


def deduplicate_owners(obj: Object, call: Call) -> None:
    """Drop repeated owner references, with a warning."""
    owners = obj["metadata"].get("ownerReferences") or []
    kept: list[Object] = []
    for owner in owners:
        if owner not in kept:
            kept.append(owner)
    if len(kept) < len(owners):
        uids = ", ".join(sorted({str(o.get("uid")) for o in owners if owners.count(o) > 1}))
        call.warnings.append(
            f".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and "
            f"may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {uids}"
        )
        change_metadata(obj, {"ownerReferences": kept})
