"""What the processes of one sidecar say to each other: a little JSON, and after it, where there is one, a document.

PURE. Both sides are the same program on the same machine: what is read here is not hostile, and of no other
version. Before both stand their lengths, 4 bytes each, big-endian.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any, Final

Message = dict[str, Any]

#: To a worker. ``configure``: use the document; ``count``: answer this ``number`` with the counters;
#: ``drain``: answers end their connections; ``end``: serve what is there, then exit.
CONFIGURE: Final = "configure"
COUNT: Final = "count"
DRAIN: Final = "drain"
END: Final = "end"
#: From a worker. ``ready``: the port is open; ``counted``: the counters, in answer to a ``number``;
#: ``ended``: nothing is left, ``cut`` requests were cut, and these are the counters.
READY: Final = "ready"
COUNTED: Final = "counted"
ENDED: Final = "ended"

_LENGTHS: Final = struct.Struct(">II")


def encode(kind: str, document: bytes = b"", **fields: object) -> bytes:
    """The bytes of a message."""
    text = json.dumps({"kind": kind, **fields}, separators=(",", ":")).encode()
    return b"".join((_LENGTHS.pack(len(text), len(document)), text, document))


class Reader:
    """Finds messages in what comes in."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Message, bytes]]:
        """The messages that are whole now, each with its document."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _LENGTHS.size:
            text, document = _LENGTHS.unpack_from(buffer)
            begin = _LENGTHS.size + text
            end = begin + document
            if len(buffer) < end:
                return
            message: Message = json.loads(buffer[_LENGTHS.size : begin])
            attached = bytes(buffer[begin:end])
            del buffer[:end]
            yield message, attached
