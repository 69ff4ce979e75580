"""Every write as a line of JSON in a file, so that a control plane that was killed comes back with everything.

Rules: a line is handed to the kernel before the write is answered, so a killed process loses nothing that anybody was
told (a power cut may: nobody's laptop needs more of a sandbox). A last line that was cut off is dropped: nobody was
told of it. At the start the file is written anew with what is left, by a rename, so that it is whole at any moment.
It holds Secrets: nobody but its owner may read it.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from coalmine.kube.resources import Object, Resource

_log = logging.getLogger(__name__)
_FILE: Final = "journal.jsonl"
#: Bytes of writes after which the file is written anew: some twenty thousand writes, a fraction of a second.
_MOST_WRITTEN: Final = 64 << 20
_OWNER_ONLY: Final = 0o600


class JournalError(Exception):
    """The journal holds what this program did not write."""


class Record(NamedTuple):
    """The write that made `version`; no object: the deletion."""

    version: int
    resource: Resource
    key: tuple[str, str]
    object: Object | None


class Journal:
    """The file in `directory`, which belongs to one process at a time."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / _FILE
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file: int | None = None
        self._written = 0
        #: The counter as it was when the file was last rewritten: deletions may have left no line.
        self.version = 0

    def load(self) -> Iterator[Record]:
        """What was written, in order. Raises JournalError."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    return  # cut off by a kill
                try:
                    value = json.loads(line)
                    if "version" in value:
                        self.version = int(value["version"])
                        continue
                    yield Record(value["v"], Resource(*value["r"]), (value["k"][0], value["k"][1]), value.get("o"))
                except (ValueError, KeyError, TypeError) as error:
                    raise JournalError(
                        f"{self._path}, line {number}: {error}; remove the directory to start with nothing"
                    ) from error

    def rewrite(self, records: Iterable[Record], version: int) -> None:
        """Begin anew with these. Raises OSError when the disk is full: then the file is what it was."""
        new = self._path.with_suffix(".new")
        new.unlink(missing_ok=True)
        opened = os.open(new, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
        try:
            with os.fdopen(opened, "wb", closefd=False) as file:
                file.write(_line({"version": version}))
                for record in records:
                    file.write(_encoded(record))
            new.replace(self._path)
        except BaseException:
            os.close(opened)
            raise
        self.close()
        self._file = opened
        self._written = 0

    def append(self, record: Record) -> None:
        """Add one write. Raises OSError when the disk is full: then it must not be answered as done."""
        assert self._file is not None, "rewrite comes first"
        line = _encoded(record)
        whole = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, line)
            while written < len(line):
                written += os.write(self._file, line[written:])
        except OSError:
            os.ftruncate(self._file, whole)  # half a line would take the next one with it
            raise
        self._written += len(line)

    def shortened(self, records: Iterable[Record], version: int) -> None:
        """`rewrite` it, if it is time to; a disk too full for that is told, and asked again much later."""
        if self._written <= _MOST_WRITTEN:
            return
        self._written = 0
        try:
            self.rewrite(records, version)
        except OSError as error:
            _log.warning("%s cannot be written anew, and goes on growing: %s", self._path, error)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _encoded(record: Record) -> bytes:
    resource = record.resource
    value = {
        "v": record.version,
        "r": [resource.api_version, resource.kind, resource.plural, resource.namespaced],
        "k": list(record.key),
    }
    return _line(value if record.object is None else {**value, "o": record.object})


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
