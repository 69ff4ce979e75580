"""The verbs on resources: which step comes after which for get, list, watch, create, update, patch and delete.

Authorisation is done with when these are called.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable

from coalmine.kube.resources import Object
from coalmine_sandbox.api import errors, events, patching
from coalmine_sandbox.api.allocation import Allocation
from coalmine_sandbox.api.answers import Answers
from coalmine_sandbox.api.body import decoded, parse_noting
from coalmine_sandbox.api.call import APPLY, Call, call, names_match, place
from coalmine_sandbox.api.deleting import Deleter, options
from coalmine_sandbox.api.errors import StatusError
from coalmine_sandbox.api.http import Answer, Request, Stream, refused
from coalmine_sandbox.api.kinds import Kind, Kinds
from coalmine_sandbox.api.paths import Target
from coalmine_sandbox.api.reading import page
from coalmine_sandbox.api.store import Store, encoded
from coalmine_sandbox.api.strategy.table import strategy_of
from coalmine_sandbox.api.watching import events as watched
from coalmine_sandbox.api.watching import watch_of
from coalmine_sandbox.api.writing import Admission, Change, Writer


class Verbs:
    """Everything that can be done to the main resources."""

    def __init__(
        self,
        store: Store,
        kinds: Kinds,
        admission: Admission,
        allocation: Allocation,
        clock: Callable[[], float],
        chance: random.Random,
    ) -> None:
        self.store = store
        self.kinds = kinds
        self.admission = admission
        self.answers = Answers(clock)
        self.clock = clock
        self.writer = Writer(store, admission, allocation, clock, chance)
        self.deleter = Deleter(store, admission, clock)
        self._chance = chance

    def call(self, request: Request, target: Target) -> Call:
        """The write that a request asks for. Raises StatusError (422)."""
        identity = str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
        return call(request, target.kind, target.subresource, target.namespace or "", target.name, identity)

    # --- reading -------------------------------------------------------------------------------

    def get(self, request: Request, target: Target) -> Answer:
        entry = self.store.entry(target.kind.storage, target.namespace or "", target.name)
        if entry is None:
            raise errors.not_found(target.kind.qualified, target.name)
        return self.answers.entry(request, target.kind, entry)

    def list(self, request: Request, target: Target) -> Answer:
        return self.answers.page(request, target.kind, page(self.store, target.kind, target.namespace, request))

    def watch(self, request: Request, target: Target) -> Stream:
        wanted = watch_of(self.store, target.kind, target.namespace, request)
        return Stream(watched(self.store, wanted, self.answers.show(request)))

    # --- writing -------------------------------------------------------------------------------

    async def create(self, request: Request, target: Target) -> Answer:
        given = self.call(request, target)
        try:
            sent = self._body(given, request)
            made = await self.writer.create(given, _stored(target.kind, sent))
        except StatusError as error:
            return refused(error, given.warnings)
        return self.answers.one(request, target.kind, made, status=201, warnings=given.warnings)

    async def update(self, request: Request, target: Target) -> Answer:
        given = self.call(request, target)
        try:
            sent = self._body(given, request)
            names_match(sent, given)
            place(sent, given.namespace)
            sent = _stored(target.kind, sent)
            uid = str(sent["metadata"].get("uid") or "")
            may_create = strategy_of(target.kind).creates_on_update and not target.subresource

            def change(current: Object | None) -> Object:
                if current is None:
                    return self.writer.managed(given, None, sent)
                return self.writer.managed(given, current, dict(sent))

            return await self._changed(request, given, change, may_create=may_create, uid=uid)
        except StatusError as error:
            return refused(error, given.warnings)

    async def patch(self, request: Request, target: Target) -> Answer:
        given = self.call(request, target)
        try:
            media = patching.language(target.kind, request.headers.get("content-type", ""))
            applied = media == APPLY
            change = patching.change(given, media, request.body, self.writer, self.clock)
            may_create = applied and not target.subresource
            return await self._changed(request, given, change, may_create=may_create)
        except StatusError as error:
            return refused(error, given.warnings)

    async def _changed(
        self, request: Request, given: Call, change: Change, *, may_create: bool, uid: str = ""
    ) -> Answer:
        stored, created = await self.writer.update(given, change, may_create=may_create, uid=uid)
        status = 201 if created else 200
        return self.answers.one(request, given.kind, stored, status=status, warnings=given.warnings)

    def _body(self, given: Call, request: Request) -> Object:
        value, twice = parse_noting(request.body, request.headers.get("content-type", ""))
        return decoded(given.kind, value, given.validation, given.warnings, twice)

    # --- deleting ------------------------------------------------------------------------------

    async def delete(self, request: Request, target: Target) -> Answer:
        given = self.call(request, target)
        try:
            how = options(request)
            obj, _ = await self.deleter.delete(given, how)
        except StatusError as error:
            return refused(error, given.warnings)
        if strategy_of(target.kind).shows_deleted:
            return self.answers.one(request, target.kind, obj, warnings=given.warnings)
        return Answer(200, encoded(_gone(target.kind, obj)), warnings=tuple(given.warnings))

    async def delete_collection(self, request: Request, target: Target) -> Answer:
        how = options(request)
        found = page(self.store, target.kind, target.namespace, request)
        warnings: list[str] = []
        for entry in found.entries:
            namespace, name = entry.key
            given = self.call(request, target._replace(namespace=namespace, name=name))
            try:
                await self.deleter.delete(given, how)
            except StatusError as error:
                if error.code != 404:
                    return refused(error, warnings)
            warnings += [warning for warning in given.warnings if warning not in warnings]
        answer = self.answers.page(request, target.kind, found)
        return Answer(answer.status, answer.body, warnings=tuple(warnings))


def _stored(kind: Kind, obj: Object) -> Object:
    """A sent object under the names by which it is stored."""
    return obj if kind.storage == kind.resource else events.stored(obj)


def _gone(kind: Kind, obj: Object) -> Object:
    details = {"name": obj["metadata"]["name"], "group": kind.group, "kind": kind.resource.plural}
    details = {key: value for key, value in details.items() if value}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {**details, "uid": obj["metadata"]["uid"]},
    }
