"""What the API server serves now, as the garbage collector and the namespace controller need it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from coalmine.kube.resources import CRDS, Object, Resource, name_of
from coalmine.kube.verbs import Verbs
from coalmine_sandbox.native.informers import Informers, synced
from coalmine_sandbox.native.pods import condition
from coalmine_sandbox.native.work import AgainError, Work

_VERBS: Final = frozenset({"delete", "list", "watch"})
_EVERYTHING: Final = "everything"


async def discover(api: Verbs) -> list[Resource]:
    """All resources that can be listed, watched and deleted, each in its group's preferred version.

    Raises ApiError.
    """
    versions = ["v1"]
    for group in (await api.raw("GET", "/apis")).get("groups") or ():
        versions.append(str(group["preferredVersion"]["groupVersion"]))
    found = []
    for version in versions:
        root = "/api/v1" if version == "v1" else f"/apis/{version}"
        for each in (await api.raw("GET", root)).get("resources") or ():
            if "/" not in each["name"] and set(each.get("verbs") or ()) >= _VERBS:
                found.append(Resource(version, each["kind"], each["name"], bool(each["namespaced"])))
    return found


class Served:
    """The resources that are served, kept up to date as CustomResourceDefinitions come and go."""

    def __init__(self, api: Verbs, informers: Informers, changed: Callable[[], None]) -> None:
        self.resources: list[Resource] = []
        self.known = asyncio.Event()
        self._api = api
        self._changed = changed
        self._definitions = informers.of(CRDS)
        self._definitions.listen(self._definition_changed)
        self._work: Work[str] = Work("discovery", self._sync, workers=1)
        self._work.add(_EVERYTHING)

    def of(self, api_version: str, kind: str) -> Resource | None:
        """How a kind is served; None when it is not."""
        for each in self.resources:
            if (each.api_version, each.kind) == (api_version, kind):
                return each
        return None

    async def run(self) -> None:
        """Never returns."""
        await synced((self._definitions,))
        await self._work.run()

    def _definition_changed(self, old: Object | None, new: Object | None) -> None:
        if old is None or new is None or _established(old) != _established(new) or old["spec"] != new["spec"]:
            self._work.add(_EVERYTHING)

    async def _sync(self, _key: str) -> float | None:
        found = await discover(self._api)
        if set(found) != set(self.resources):
            self.resources = found
            self._changed()
        self.known.set()
        served = {f"{each.plural}.{each.api_version.rpartition('/')[0]}" for each in found}
        missing = {name_of(each) for each in self._definitions.objects() if _established(each)} - served
        if missing:
            raise AgainError(f"{', '.join(sorted(missing))}: established, and not served yet")
        return None


def _established(definition: Object) -> bool:
    found = condition(definition, "Established")
    return found is not None and found["status"] == "True" and not definition["metadata"].get("deletionTimestamp")
