"""How an object goes back to who asked: itself, or as a row of a table."""

from __future__ import annotations

from collections.abc import Callable

from coalmine.kube.resources import Object
from coalmine_sandbox.api.http import Answer, Request
from coalmine_sandbox.api.kinds import Kind
from coalmine_sandbox.api.reading import Page, listed, shown, whole
from coalmine_sandbox.api.store import Entry, encoded
from coalmine_sandbox.api.tables.table import table


def wants_table(request: Request) -> bool:
    """Whether that is the first form in the header that is served; objects are given to whoever asks for another."""
    for clause in request.headers.get("accept", "").split(","):
        parameters = {part.strip() for part in clause.split(";")}
        if "as=Table" in parameters and "g=meta.k8s.io" in parameters:
            return "v=v1" in parameters
        if "application/json" in parameters:
            break
    return False


class Answers:
    """Answers in the form that each request asks for."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def one(self, request: Request, kind: Kind, obj: Object, *, status: int = 200, warnings: list[str]) -> Answer:
        """One stored object."""
        if wants_table(request) and obj.get("kind") == kind.storage.kind:
            version = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            body = encoded(self._table(request, kind, [obj], version))
        else:
            body = encoded(shown(kind, obj))
        return Answer(status, body, warnings=tuple(warnings))

    def entry(self, request: Request, kind: Kind, entry: Entry) -> Answer:
        """One object as it is stored, without encoding it again."""
        if wants_table(request):
            return self.one(request, kind, entry.object, warnings=[])
        return Answer(200, whole(kind, entry))

    def page(self, request: Request, kind: Kind, found: Page) -> Answer:
        """A list."""
        if wants_table(request):
            rows = [entry.object for entry in found.entries]
            return Answer(200, encoded(self._table(request, kind, rows, found.metadata())))
        return Answer(200, listed(kind, found))

    def show(self, request: Request) -> Callable[[Kind, Entry], bytes]:
        """How each object of a watch is encoded."""
        if not wants_table(request):
            return whole
        first = True

        def row(kind: Kind, entry: Entry) -> bytes:
            nonlocal first
            columns, first = first, False  # the heads come once
            version = {"resourceVersion": str(entry.version)}
            return encoded(self._table(request, kind, [entry.object], version, columns=columns))

        return row

    def _table(
        self, request: Request, kind: Kind, rows: list[Object], metadata: Object, *, columns: bool = True
    ) -> Object:
        include = request.parameter("includeObject")
        made = table(kind, rows, metadata, self._clock(), include=include, columns=columns)
        if include == "Object":
            for row in made["rows"]:
                row["object"] = shown(kind, row["object"])  # of a kind that shares its storage
        return made
