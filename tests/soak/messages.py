"""HTTP/1.1 as the soak's clients and applications read and write it: no line of it is the proxy's.

What an answer's body must be follows from the id of its request, so nobody has to remember it.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field


@dataclass
class Message:
    """A head, and later its body."""

    start: str
    fields: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def status(self) -> int:
        return int(self.start.split(" ")[1])

    @property
    def closes(self) -> bool:
        """Does the connection end after this?"""
        return "close" in self.fields.get("connection", "").lower()


def pattern(identity: str, size: int) -> bytes:
    """The body of `size` bytes that belongs to a request and to no other."""
    digest = hashlib.sha256(identity.encode()).digest()
    return (digest * (size // len(digest) + 1))[:size]


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]


def chunked(body: bytes, size: int) -> bytes:
    """`body` in chunks of `size`."""
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def send(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Write, unless the connection is gone: who reads from it finds out. (uvloop would raise RuntimeError.)"""
    if not writer.is_closing():
        writer.write(data)


async def read_head(reader: asyncio.StreamReader, before: bytes = b"") -> Message:
    """Raises IncompleteReadError when the connection ends before the head does."""
    data = before + await reader.readuntil(b"\r\n\r\n")
    start, *lines = data.decode("latin-1").split("\r\n")[:-2]
    message = Message(start)
    for line in lines:
        name, _, value = line.partition(":")
        message.fields[name.lower()] = value.strip()
    return message


async def read_body(reader: asyncio.StreamReader, message: Message, *, until_close: bool, pause: float = 0.0) -> None:
    """Read the body of `message`; `pause` seconds lie between its pieces. Raises IncompleteReadError."""
    if message.fields.get("transfer-encoding", "").lower() == "chunked":
        pieces: list[bytes] = []
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            pieces.append((await reader.readexactly(size + 2))[:-2])
            if pause:
                await asyncio.sleep(pause)
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass
        message.body = b"".join(pieces)
    elif "content-length" in message.fields:
        left = int(message.fields["content-length"])
        pieces = []
        while left:
            piece = await reader.read(min(left, 16384))
            if not piece:
                raise asyncio.IncompleteReadError(b"".join(pieces), left)
            left -= len(piece)
            pieces.append(piece)
            if pause:
                await asyncio.sleep(pause)
        message.body = b"".join(pieces)
    elif until_close:
        message.body = await reader.read()
