"""Connections in memory: transports as uvloop has them, on the loop of `wire_turns`.

What is kept of the real thing, because a proxy's correctness hangs on it:
- `close` lets what was written go out, and `connection_lost` comes on a later turn;
- after `write_eof` a `write` raises, as it does after `connection_lost`;
- a protocol whose `eof_received` returns nothing is closed;
- who closes with unread input, or gets input after closing, sends a reset, and so does SO_LINGER 0;
- what came before a reset can still be read, but a write after it ends the connection at once;
- an exception in a callback closes the transport, and is kept in `Turns.errors`.

`test_conformance_transports` plays the same scenes here and on uvloop's sockets. This module knows nothing of
what is tested. The other side of each transport is an `End`, which belongs to the test.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from wire_turns import Turns

#: What one read takes: uvloop's buffer.
_READ: Final = 256 * 1024
_HIGH: Final = 64 * 1024
_LOW: Final = 16 * 1024

_EOF: Final = "eof"
_RESET: Final = "reset"


class Socket:
    """The socket behind a transport, as far as it is asked for."""

    family = socket.AF_INET
    type = socket.SOCK_STREAM

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        if (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER):
            assert isinstance(value, bytes)
            self._transport.lingers_not = struct.unpack("ii", value) == (1, 0)

    def getsockopt(self, level: int, option: int) -> int:
        return 0

    def getsockname(self) -> tuple[str, int]:
        return self._transport.own

    def getpeername(self) -> tuple[str, int]:
        return self._transport.peer

    def fileno(self) -> int:
        """A descriptor that says what the connection would: to poll, and to who reads it himself."""
        return self._transport.descriptor()


class Transport(asyncio.Transport):
    """The tested side of a connection."""

    def __init__(
        self,
        turns: Turns,
        own: tuple[str, int] = ("127.0.0.1", 80),
        peer: tuple[str, int] = ("127.0.0.1", 50000),
    ) -> None:
        super().__init__()
        self._turns = turns
        self.own = own
        self.peer = peer
        self.end = End(self, turns)
        self.lingers_not = False
        self._socket = Socket(self)
        self._protocol: Any = None
        #: What the kernel holds for us, in order: bytes, and at last the end.
        self.unread: deque[bytes | str] = deque()
        self._unsent = bytearray()
        self._reading = False
        self._reading_soon = False
        self._closing = False
        self._losing = False
        #: `connection_lost` was called, and the socket is closed.
        self.gone = False
        self._no_more = False
        self._shut = False
        self._broken = False
        self._paused = False
        self._high, self._low = _HIGH, _LOW
        self._shown: socket.socket | None = None
        self._other: socket.socket | None = None
        self._showing = 0

    def connect(self, protocol: asyncio.BaseProtocol) -> None:
        """Give the transport to its protocol. Must be called on the loop's turn."""
        self._protocol = protocol
        protocol.connection_made(self)
        if not self._closing:
            self._reading = True
            self._read_soon()

    # --- asyncio's transport ---

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"socket": self._socket, "sockname": self.own, "peername": self.peer}.get(name, default)

    def get_protocol(self) -> Any:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return self._reading

    def pause_reading(self) -> None:
        if not self._closing:
            self._reading = False

    def resume_reading(self) -> None:
        if not self._closing and not self._reading:
            self._reading = True
            self._read_soon()

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return len(self._unsent)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = _HIGH if high is None else high
        self._low = self._high // 4 if low is None else low
        self._pause()

    def write(self, data: Any) -> None:
        self.writelines((data,))

    def writelines(self, data: Iterable[Any]) -> None:
        if self.gone:
            raise RuntimeError("unable to perform operation on a closed transport")
        if self._no_more:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._losing:
            return
        for piece in data:
            self._unsent += piece
        if not self._unsent:
            return
        if self._broken:
            self._unsent.clear()
            self._lose(BrokenPipeError("the other side is gone"))
            return
        self._send()
        self._pause()

    def write_eof(self) -> None:
        if self.gone:
            raise RuntimeError("unable to perform operation on a closed transport")
        if not self._no_more:
            self._no_more = True
            self._send()

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._reading = False
        if not self._unsent:
            self._losing = True
            self._turns.call_soon(self._lost, None)

    def abort(self) -> None:
        self._lose(None)

    # --- the way out ---

    def _send(self) -> None:
        """As much as the other side takes."""
        unsent = self._unsent
        if unsent:
            taken = self.end.takes(len(unsent))
            if taken:
                self.end.takes_in(bytes(unsent[:taken]))
                del unsent[:taken]
        if not unsent and not self._losing:
            if self._closing:
                self._losing = True
                self._turns.call_soon(self._lost, None)
            elif self._no_more and not self._shut:
                self._shut = True
                self.end.ends(_EOF)

    def _pause(self) -> None:
        if not self._paused and len(self._unsent) > self._high:
            self._paused = True
            self._call(self._protocol.pause_writing)

    def drained(self) -> None:
        """The other side took something."""
        if self.gone or self._losing:
            return
        self._send()
        if self._paused and len(self._unsent) <= self._low:
            self._paused = False
            self._call(self._protocol.resume_writing)

    # --- the way in ---

    def descriptor(self) -> int:
        """A socket of the kernel's with what is unread in it. What is read from it is read from here."""
        self._hide()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        unread = b"".join(item for item in self.unread if isinstance(item, bytes))
        theirs.sendall(unread)
        if any(isinstance(item, str) for item in self.unread):
            theirs.shutdown(socket.SHUT_WR)
            theirs.close()
        else:
            self._other = theirs
        self._shown, self._showing = ours, len(unread)
        return ours.fileno()

    def _hide(self) -> None:
        """Take back the descriptor, and out of `unread` what was read from it."""
        shown, self._shown = self._shown, None
        if shown is None:
            return
        left = 0
        with contextlib.suppress(BlockingIOError):
            while piece := shown.recv(_READ):
                left += len(piece)
        shown.close()
        if self._other is not None:
            self._other.close()
            self._other = None
        taken = self._showing - left
        while taken:
            item = self.unread.popleft()
            assert isinstance(item, bytes)
            if len(item) > taken:
                self.unread.appendleft(item[taken:])
            taken -= min(taken, len(item))

    def arrives(self, item: bytes | str) -> None:
        """Bytes, or an end."""
        if self.gone:
            if item != _EOF:
                self.end.ends(_RESET)
            return
        if item == _RESET:
            # What came before it can still be read, but to write is an error now.
            self._broken = True
        self.unread.append(item)
        self._read_soon()

    def _read_soon(self) -> None:
        if self._reading and self.unread and not self._reading_soon:
            self._reading_soon = True
            self._turns.call_soon(self._read)

    def _read(self) -> None:
        self._reading_soon = False
        self._hide()
        if not self._reading or not self.unread:
            return
        item = self.unread.popleft()
        if item == _EOF:
            self._reading = False
            if not self._call(self._protocol.eof_received):
                self.close()
        elif item == _RESET:
            self._lose(ConnectionResetError("the other side reset the connection"))
        else:
            assert isinstance(item, bytes)
            pieces = [item]
            while self.unread and isinstance(self.unread[0], bytes):
                pieces.append(self.unread.popleft())  # type: ignore[arg-type]
            data = b"".join(pieces)
            if len(data) > _READ:
                self.unread.appendleft(data[_READ:])
                data = data[:_READ]
            self._deliver(data)
            self._read_soon()

    def _deliver(self, data: bytes) -> None:
        protocol = self._protocol
        if not isinstance(protocol, asyncio.BufferedProtocol):
            self._call(protocol.data_received, data)
            return
        while data and self._reading:
            space = self._call(protocol.get_buffer, len(data))
            if space is None:
                return
            count = min(len(space), len(data))
            space[:count] = data[:count]
            self._call(protocol.buffer_updated, count)
            data = data[count:]
        if data:
            self.unread.appendleft(data)

    # --- the end ---

    def _call(self, callback: Callable[..., Any], *args: Any) -> Any:
        try:
            return callback(*args)
        except Exception as error:
            self._turns.errors.append(error)
            self._lose(error)

    def _lose(self, error: BaseException | None) -> None:
        if self._losing or self.gone:
            return
        self._closing = self._losing = True
        self._reading = False
        self._unsent.clear()
        self._turns.call_soon(self._lost, error)

    def _lost(self, error: BaseException | None) -> None:
        if self.gone:
            return
        self.gone = True
        try:
            self._protocol.connection_lost(error)
        except Exception as raised:
            self._turns.errors.append(raised)
        self._hide()
        unread = any(isinstance(item, bytes) for item in self.unread)
        self.unread.clear()
        self.end.ends(_RESET if self.lingers_not or unread else _EOF)


class End:
    """The test's side of a connection: sends, and keeps what it received and how that ended."""

    def __init__(self, transport: Transport, turns: Turns) -> None:
        self._transport = transport
        self._turns = turns
        self.received = bytearray()
        #: None while it is open, then ``eof`` or ``reset``, whichever came first.
        self.ended: str | None = None
        #: How many bytes it still takes; None: any number.
        self.window: int | None = None
        #: Called on a later turn when something came.
        self.noticed: Callable[[], None] | None = None
        self.closed = False
        self._shut = False
        self._noticing = False

    # --- what a test does ---

    def send(self, data: bytes) -> None:
        if data and not self.closed and not self._shut:
            self._transport.arrives(data)

    def half_close(self) -> None:
        """Say no more, and read on."""
        if not self._shut and not self.closed:
            self._shut = True
            self._transport.arrives(_EOF)

    def close(self) -> None:
        """Neither say nor read any more; what still comes is answered with a reset."""
        self.half_close()
        self.closed = True

    def reset(self) -> None:
        if not self.closed:
            self.closed = True
            self._transport.arrives(_RESET)

    def widen(self, window: int | None) -> None:
        """Take so many bytes more."""
        self.window = window
        self._turns.call_soon(self._transport.drained)

    @property
    def unheard(self) -> int:
        """Bytes that were sent and not read yet."""
        return sum(len(item) for item in self._transport.unread if isinstance(item, bytes))

    # --- what the transport does ---

    def takes(self, size: int) -> int:
        """How much of `size` bytes goes out now."""
        return size if self.window is None else min(size, self.window)

    def takes_in(self, data: bytes) -> None:
        if self.window is not None:
            self.window -= len(data)
        if self.closed:
            self._turns.call_soon(self._transport.arrives, _RESET)
            return
        self.received += data
        self._notice()

    def ends(self, how: str) -> None:
        if self.ended is None and not self.closed:
            self.ended = how
            self._notice()

    def _notice(self) -> None:
        if self.noticed is not None and not self._noticing:
            self._noticing = True
            self._turns.call_soon(self._tell)

    def _tell(self) -> None:
        self._noticing = False
        if self.noticed is not None:
            self.noticed()
