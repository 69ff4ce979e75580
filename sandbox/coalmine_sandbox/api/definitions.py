"""CustomResourceDefinitions at work: kinds that are served as soon as they are accepted, and gone with them.

A real API server's controllers do this: names are accepted, conditions are written, the kind is served; when the
definition goes, so do its objects.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, NamedTuple

from coalmine.kube.resources import CRDS, Object, name_of
from coalmine_sandbox.api.custom import Custom
from coalmine_sandbox.api.kinds import Kinds
from coalmine_sandbox.api.store import Change, Store

_log = logging.getLogger(__name__)
#: apiextensions' finalizer: a definition stays until its objects are gone.
CLEANUP: Final = "customresourcecleanup.apiextensions.k8s.io"


class Accepted(NamedTuple):
    """A definition's status as it should be, and its kind, when it is one that can be served."""

    status: Object
    custom: Custom | None


#: Judges a definition, given the others.
Judge = Callable[[Object, list[Object]], Accepted]


class Definitions:
    """Follows the definitions in the store. To be closed."""

    def __init__(self, store: Store, kinds: Kinds, judge: Judge) -> None:
        self._store = store
        self._kinds = kinds
        self._judge = judge
        for definition in store.objects(CRDS):
            self._follow(name_of(definition))
        self._stop = store.listen(CRDS, self._changed)

    def close(self) -> None:
        self._stop()

    def _changed(self, change: Change) -> None:
        name = change.entry.key[1]
        if change.type == "DELETED":
            self._kinds.drop(name)
            return
        # a listener only takes note: what follows writes
        asyncio.get_running_loop().call_soon(self._follow, name)

    def _follow(self, name: str) -> None:
        definition = self._store.get(CRDS, None, name)
        if definition is None:
            return
        if definition["metadata"].get("deletionTimestamp"):
            self._remove(definition)
            return
        others = [each for each in self._store.objects(CRDS) if name_of(each) != name]
        accepted = self._judge(definition, others)
        if accepted.custom is not None:
            self._kinds.define(name, accepted.custom)
        else:
            self._kinds.drop(name)
        about = definition["metadata"]
        finalizers = list(about.get("finalizers") or ())
        if accepted.custom is not None and CLEANUP not in finalizers:
            finalizers.append(CLEANUP)
        changed = {**definition, "status": accepted.status}
        if finalizers:
            changed["metadata"] = {**about, "finalizers": finalizers}
        if changed != definition:
            self._store.put(CRDS, changed)

    def _remove(self, definition: Object) -> None:
        """Delete the definition's objects, then let it go."""
        finalizers = list(definition["metadata"].get("finalizers") or ())
        if CLEANUP not in finalizers:
            return
        name = name_of(definition)
        names = definition["spec"]["names"]
        for resource in self._store.resources():
            if resource.plural == names["plural"] and resource.api_version.startswith(
                f"{definition['spec']['group']}/"
            ):
                for entry in self._store.entries(resource):
                    self._store.delete(resource, *entry.key)
        finalizers.remove(CLEANUP)
        about = {key: value for key, value in definition["metadata"].items() if key != "finalizers"}
        if finalizers:
            self._store.put(CRDS, {**definition, "metadata": {**about, "finalizers": finalizers}})
        else:
            self._store.delete(CRDS, "", name)
