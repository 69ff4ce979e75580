"""What the processes of one sidecar say to each other: JSON, each with its length before it.

PURE. Both sides are the same program on the same machine: what is read here is not hostile, and of no other
version. A length is 4 bytes, big-endian.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

Message = dict[str, Any]

#: To a worker. ``configure``: use this ``document``; ``count``: answer this ``number`` with the counters;
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

_LENGTH: Final = 4


def encode(kind: str, **fields: object) -> bytes:
    """The bytes of a message."""
    body = json.dumps({"kind": kind, **fields}, separators=(",", ":")).encode()
    return len(body).to_bytes(_LENGTH, "big") + body


class Reader:
    """Finds messages in what comes in."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that are whole now."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH:
            end = _LENGTH + int.from_bytes(self._buffer[:_LENGTH], "big")
            if len(self._buffer) < end:
                return
            message: Message = json.loads(self._buffer[_LENGTH:end])
            del self._buffer[:end]
            yield message
