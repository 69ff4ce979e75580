"""How an object goes back to who asked: itself, its metadata alone, or as a row of a table."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from coalmine.kube.resources import Object
from coalmine_sandbox.api.http import Answer, Request
from coalmine_sandbox.api.kinds import Kind
from coalmine_sandbox.api.reading import Page, listed, shown, whole
from coalmine_sandbox.api.store import Entry, encoded
from coalmine_sandbox.api.tables.table import partial, table


class Form(Enum):
    """What the Accept header asks for."""

    OBJECT = "object"
    TABLE = "table"
    METADATA = "metadata"


def form_of(request: Request) -> Form:
    """The first form in the header that is served; JSON is given to whoever asks for something else."""
    for clause in request.headers.get("accept", "").split(","):
        parameters = {part.strip() for part in clause.split(";")}
        if "as=Table" in parameters and "g=meta.k8s.io" in parameters:
            return Form.TABLE if "v=v1" in parameters else Form.OBJECT
        if parameters & {"as=PartialObjectMetadata", "as=PartialObjectMetadataList"}:
            return Form.METADATA
        if "application/json" in parameters:
            return Form.OBJECT
    return Form.OBJECT


class Answers:
    """Answers in the form that each request asks for."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def one(self, request: Request, kind: Kind, obj: Object, *, status: int = 200, warnings: list[str]) -> Answer:
        """One stored object."""
        form = form_of(request)
        if form is Form.TABLE and obj.get("kind") == kind.storage.kind:
            version = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            body = encoded(self._table(request, kind, [obj], version))
        elif form is Form.METADATA:
            body = encoded(partial(obj))
        else:
            body = encoded(shown(kind, obj))
        return Answer(status, body, warnings=tuple(warnings))

    def entry(self, request: Request, kind: Kind, entry: Entry) -> Answer:
        """One object as it is stored, without encoding it again."""
        if form_of(request) is Form.OBJECT:
            return Answer(200, whole(kind, entry))
        return self.one(request, kind, entry.object, warnings=[])

    def page(self, request: Request, kind: Kind, found: Page) -> Answer:
        """A list."""
        form = form_of(request)
        if form is Form.TABLE:
            rows = [entry.object for entry in found.entries]
            return Answer(200, encoded(self._table(request, kind, rows, found.metadata())))
        if form is Form.METADATA:
            head = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": found.metadata()}
            return Answer(200, encoded({**head, "items": [partial(entry.object) for entry in found.entries]}))
        return Answer(200, listed(kind, found))

    def show(self, request: Request) -> Callable[[Kind, Entry], bytes]:
        """How each object of a watch is encoded."""
        form = form_of(request)
        if form is Form.OBJECT:
            return whole
        if form is Form.METADATA:
            return lambda _kind, entry: encoded(partial(entry.object))
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
        if include == "Object":
            # of a kind that shares its storage
            made = table(kind, rows, metadata, self._clock(), include=include, columns=columns)
            for row in made["rows"]:
                row["object"] = shown(kind, row["object"])
            return made
        return table(kind, rows, metadata, self._clock(), include=include, columns=columns)
